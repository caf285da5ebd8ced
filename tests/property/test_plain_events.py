"""The short way for plain events gives what the long way gives, or nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from unify_grpc._pb.unify.v1.event_pb2 import Event, ExternalId
from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.outcomes import EventRejected
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.framing import Framed, MarkMaker, SpaceView, frame_event
from unify_grpc.service.arrivals import Incoming
from unify_grpc.service.event_wire import event_from_wire
from unify_grpc.service.plain_events import PlainFraming

STAMP_US = 1_800_000_000_000_000
SOURCE, STREAM = 7, 2**63 + 5
DOCUMENTS: list[dict[str, Any]] = [
    {},
    {"lowercase_email": False, "blocked": [{"pattern": "^x"}]},
    {"identifiers": [{"type": "email"}, {"type": "anonymous_id"}, {"type": "user_id"}]},
    {"identifiers": [{"type": "phone", "custom": True}], "accept_new_types": False},
    {"identifiers": [{"type": "app_id", "custom": True}, {"type": "ios.id", "blocked": []}]},
]
MET: list[tuple[str, ...] | None] = [None, (), ("phone", "ios.id", "anonymous_id")]
"""Types that the space has met; None: it does not ask."""


def view_of(document: dict[str, Any], met: tuple[str, ...] | None = None) -> SpaceView:
    """Returns a space under a document of rules that met types."""
    rules = Rules.from_document(document, 1)
    if met is not None:
        rules = rules.meeting(met)
    return SpaceView(3, rules, KeyMaker(b"k" * 32), MarkMaker(b"m" * 32))


def the_long_way(wire: Event, view: SpaceView) -> Framed | None:
    """Frames an event as everything else is; None where it is refused."""
    incoming = event_from_wire(wire)
    if not isinstance(incoming, Incoming):
        return None
    event, body = incoming
    if not event.message_id:
        return None
    try:
        return frame_event(
            event, body, space=view, source=SOURCE, received_us=STAMP_US, stream=STREAM
        )
    except EventRejected:
        return None


def is_same(short: Framed, long: Framed | None) -> bool:
    """Whether both say the same; identifiers may stand in a list or a tuple."""
    if long is None or len(long.sides) != 1:
        return False
    (mine,), (other,) = short.sides, long.sides
    return (
        list(mine.identifiers) == list(other.identifiers)
        and (mine.key, mine.frame) == (other.key, other.frame)
        and short[1:] == long[1:]
    )


names = st.sampled_from(["", "u1", "U1", " u1 ", "x1", "null", "a@example.com", "A@example.com"])
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 5, 1.0, True, [], {}, ["a"], {"a": {"b": {"c": {"d": {}}}}}, "\ud7ff", 10**30, "é"]
)
scalars = names | odd
keys = st.sampled_from(["email", "phone", "appId", "app_id", "plan", "traits", "Email"])
payloads = st.dictionaries(keys, scalars, max_size=4)
devices = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ios", "android", "tv", None, 3]),
        "id": scalars,
        "token": scalars,
        "advertisingId": scalars,
        "adTrackingEnabled": st.booleans(),
    },
)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "device": devices | odd,
        "traits": payloads | odd,
        "groupId": scalars,
        "integrations": st.just({"Google Analytics": {"clientId": "c1"}}) | odd,
        "externalIds": odd,
        "page": st.just({"path": "/", "search": {"a": [1, 2]}}),
        "phone": scalars,
    },
)
broken = st.sampled_from(
    [
        *(
            b"{",
            b"[]",
            b"null",
            b" {} ",
            b'{"a":01}',
            b'{"a":1e999}',
            b'{"a":"\\q"}',
            b'{"a":"\xff"}',
        ),
        *(b'{"email":"u1","email":null}', b'{"a":"{{{{{{{{{"}', b'{"a":' * 9 + b"1" + b"}" * 9),
    ]
)
times = st.sampled_from(
    [(0, 0), (-1, 5), (1_700_000_000, 999), (1_700_000_000, 10**9), (2**40, 0), (1, -1)]
)

ODD_TEXTS = {
    "type": ["track", "group", "alias", "no", ""],
    "message_id": ["", "m" * 100, "m" * 101, "é"],
    "name": ["", "n" * 1024, "n" * 1025],
    "user_id": ["", "x1", "null", "v" * 257],
    "anonymous_id": ["", " ", "u1", "v" * 256],
    "group_id": ["g", ""],
    "previous_id": ["p"],
}


@st.composite
def wires(draw: st.DrawFn) -> Event:
    """Draws a plain event, and then something odd about it, or not."""
    wire = plain(
        type=draw(st.sampled_from(["track", "identify", "page", "screen"])),
        name=draw(st.sampled_from(["Seen", "Seen", "é"])),
    )
    for field in ("user_id", "anonymous_id"):
        if draw(st.booleans()):
            wire.ClearField(field)
        elif draw(st.booleans()):
            setattr(wire, field, draw(names))
    for _ in range(draw(st.integers(0, 2))):
        _change(draw, wire)
    return wire


def _change(draw: st.DrawFn, wire: Event) -> None:
    """Makes one field of an event something else."""
    field = draw(st.sampled_from(sorted(each.name for each in Event.DESCRIPTOR.fields)))
    if field in ODD_TEXTS:
        setattr(wire, field, draw(st.sampled_from(ODD_TEXTS[field])))
    elif field.endswith("_json"):
        objects = contexts if field == "context_json" else payloads
        setattr(wire, field, draw(broken | objects.map(lambda each: json.dumps(each).encode())))
    elif field in {"traits", "properties", "context"}:
        getattr(wire, field).CopyFrom(Struct())
    elif field == "external_ids":
        wire.external_ids.add(id="e", type="email", collection="users", encoding="none")
    else:
        seconds, nanos = draw(times)
        getattr(wire, field).CopyFrom(Timestamp(seconds=seconds, nanos=nanos))


def plain(**fields: Any) -> Event:
    """Returns an event as most are."""
    wire = Event(
        type="identify",
        message_id="m1",
        user_id="u1",
        anonymous_id="a1",
        traits_json=msgspec.json.encode({"email": "U1@example.com", "plan": "pro"}),
        context_json=b'{"device":{"type":"ios","id":"d1"},"page":{"path":"/"}}',
    )
    wire.timestamp.FromSeconds(1_700_000_000)
    wire.MergeFrom(Event(**fields))
    return wire


@given(wires(), st.sampled_from(DOCUMENTS), st.sampled_from(MET))
def test_the_short_way_gives_what_the_long_way_gives(
    wire: Event, document: dict[str, Any], met: tuple[str, ...] | None
) -> None:
    """Frame, anchor, identifiers and time are the same to the byte, or it is left to the other."""
    framing = PlainFraming(view_of(document, met))
    for _ in range(2):  # from what it remembers, too
        short = framing.frame(wire, STAMP_US, SOURCE, STREAM)
        if short is not None:
            assert is_same(short, the_long_way(wire, view_of(document, met)))


def test_plain_events_go_the_short_way() -> None:
    """What it was made for: ids, an email in traits, a telephone, and JSON without surprises."""
    view = view_of({})
    short = PlainFraming(view).frame(plain(), STAMP_US, SOURCE, STREAM)

    assert short is not None
    assert ["user_id", "email", "ios.id", "anonymous_id"] == sorted(
        [each.type for each in short.sides[0].identifiers],
        key=["user_id", "email", "ios.id", "anonymous_id"].index,
    )
    assert is_same(short, the_long_way(plain(), view))


def test_what_is_not_plain_goes_the_long_way() -> None:
    """A drop, a second side, an external id or a clock to be corrected is none of its business."""
    framing = PlainFraming(view_of({"blocked": [{"exact": "-1"}]}))
    external = ExternalId(id="e", type="x", collection="users", encoding="none")
    for wire in (
        plain(user_id="-1"),
        plain(context_json=b'{"groupId":"g"}'),
        plain(external_ids=[external]),
        plain(sent_at=Timestamp(seconds=1_700_000_000)),
        plain(type="group", group_id="g"),
        plain(properties_json=b'{"email":"other@example.com"}'),
    ):
        assert framing.frame(wire, STAMP_US, SOURCE, STREAM) is None
