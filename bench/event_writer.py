"""Events of a workload as bytes of the wire: 300 to 700 bytes each, with nested properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.ledger import EMAIL, USER_ID
from unify_grpc._pb.unify.v1 import event_pb2, ingest_service_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from bench.people import Action, Device

_CATEGORIES: Final = ("shoes", "tents", "maps", "lamps", "ropes", "stoves", "packs", "boots")
_PATHS: Final = ("/", "/shop", "/shop/outdoor", "/account/orders", "/help/returns", "/journal")
_CAMPAIGNS: Final = ("spring", "newsletter", "retargeting", "partner")
_PLANS: Final = ("free", "trial", "team", "enterprise")
_TIME_ZONES: Final = ("Europe/Berlin", "Europe/Lisbon", "America/Chicago", "Asia/Tokyo")
_USER_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0"
)
_SERVER_CONTEXT: Final = (
    b'{"library":{"name":"server","version":"2.3.1"},"ip":"192.0.2.7","host":{"name":"shop-3",'
    b'"region":"eu-central","release":"2025.06.1"}}'
)
_PAGE_SHARE: Final = 0.35
_EVENTS_TAG: Final = b"\x0a"
"""Of field 1 of a request, `events`, with its length in front of each."""
_US_PER_S: Final = 1_000_000


def write_event(random: Random, action: Action, message_id: str, time_us: int) -> bytes:
    """Returns an event, serialised.

    Args:
        random: draws what it says.
        action: whose identifiers it carries.
        message_id: unique in the workload.
        time_us: of the device's clock, microseconds since 1970.
    """
    event = event_pb2.Event(message_id=message_id)
    event.original_timestamp.seconds, rest_us = divmod(time_us, _US_PER_S)
    event.original_timestamp.nanos = rest_us * 1000
    email = ""
    for type_, value in action.names:
        if type_ == USER_ID:
            event.user_id = value
        elif type_ == EMAIL:
            email = value
        elif type_ == "anonymous_id":
            event.anonymous_id = value
    if action.is_identify:
        event.type = "identify"
        event.traits_json = _traits(random, email)
    elif action.device is not None and random.random() < _PAGE_SHARE:
        event.type, event.name = "page", "Shop"
        event.properties_json = _page(random)
    else:
        event.type = "track"
        event.name, event.properties_json = _track(random)
    device = action.device
    if device is None:
        event.context_json = _SERVER_CONTEXT
    else:
        device.context = device.context or _context(random, device)
        event.context_json = device.context
    return event.SerializeToString()


def write_batch(events: Sequence[bytes]) -> bytes:
    """Returns a request of a stream with events as `write_event` made them: RESOLVED, NOTABLE."""
    parts: list[bytes] = []
    for event in events:
        parts += (_EVENTS_TAG, _varint(len(event)), event)
    # Concatenated messages are one message: these two fields follow the events.
    tail = ingest_service_pb2.IngestStreamRequest(
        ack=ingest_service_pb2.ACK_RESOLVED,
        result_view=ingest_service_pb2.RESULT_VIEW_NOTABLE,
    )
    return b"".join([*parts, tail.SerializeToString()])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _traits(random: Random, email: str) -> bytes:
    return (
        b'{"email":"%s","plan":"%s","first_name":"Member","company":"Example %d",'
        b'"address":{"city":"City %d","postal_code":"%05d","country":"DE"},'
        b'"consent":{"mail":true,"tracking":%s},"logins":%d}'
    ) % (
        email.encode(),
        random.choice(_PLANS).encode(),
        random.randrange(500),
        random.randrange(90),
        random.randrange(100_000),
        random.choice((b"true", b"false")),
        random.randrange(200),
    )


def _page(random: Random) -> bytes:
    path = random.choice(_PATHS).encode()
    return (
        b'{"path":"%s","url":"https://shop.example.com%s","title":"Shop: %s","referrer":'
        b'"https://search.example.com/?q=%s","experiment":{"id":"exp-%d","variant":"%s"},'
        b'"scroll_depth":%d}'
    ) % (
        path,
        path,
        random.choice(_CATEGORIES).encode(),
        random.choice(_CATEGORIES).encode(),
        random.randrange(40),
        random.choice((b"control", b"treatment")),
        random.randrange(101),
    )


def _track(random: Random) -> tuple[str, bytes]:
    category = random.choice(_CATEGORIES).encode()
    product = (
        b'{"id":"sku-%05d","name":"%s no. %d","category":["outdoor","%s"],"price":%d.%02d}'
        % (
            random.randrange(100_000),
            category,
            random.randrange(900),
            category,
            random.randrange(400),
            random.randrange(100),
        )
    )
    kind = random.random()
    if kind < 0.5:
        name = "Product Viewed" if kind < 0.35 else "Product Added"
        return name, b'{"product":%s,"position":%d,"list":{"id":"list-%d","rank":%d}}' % (
            product,
            random.randrange(60),
            random.randrange(300),
            random.randrange(20),
        )
    if kind < 0.8:
        return "Search Performed", b'{"query":"%s %d","filters":{"brand":null,"size":[%d,%d]}}' % (
            category,
            random.randrange(1000),
            random.randrange(30, 40),
            random.randrange(40, 50),
        )
    return "Order Completed", (
        b'{"order":{"id":"o-%08x","total":%d.%02d,"currency":"EUR","items":[%s],'
        b'"campaign":"%s"},"first":%s}'
    ) % (
        random.getrandbits(32),
        random.randrange(900),
        random.randrange(100),
        product,
        random.choice(_CAMPAIGNS).encode(),
        random.choice((b"true", b"false")),
    )


def _context(random: Random, device: Device) -> bytes:
    """Returns what each event of a device says about it."""
    hardware = b""
    if device.hardware is not None:
        hardware = b'"device":{"id":"%s","type":"%s","model":"model-%d"},' % (
            device.hardware.value.encode(),
            device.platform.encode(),
            random.randrange(50),
        )
    return (
        b'{%s"library":{"name":"%s","version":"4.%d.0"},"locale":"de-DE","timezone":"%s",'
        b'"screen":{"width":%d,"height":%d},"user_agent":"%s"}'
    ) % (
        hardware,
        device.platform.encode(),
        random.randrange(12),
        random.choice(_TIME_ZONES).encode(),
        random.choice((390, 1280, 1920)),
        random.choice((844, 1080)),
        (_USER_AGENT % random.randrange(100, 140)).encode(),
    )
