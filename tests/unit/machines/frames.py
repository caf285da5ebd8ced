"""Events, batches and links for tests of the machines, named by their identifiers.

An identifier is written `type:value`. A number behind an `@` picks the shard that owns it, so that
a test says where things live: `email:a@2` lies on shard 2 of three. Without one it is shard 0.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from unify_grpc.machines.batch import TYPE_CODES, Body, encode_body, pack_batch, pack_frame
from unify_grpc.machines.batch import pack_strings as pack_pairs
from unify_grpc.machines.links import Founding, PendingLink
from unify_grpc.placement.members import member_of
from unify_grpc.placement.slots import ShardMap

if TYPE_CHECKING:
    from typing import Any

SHARD_MAP = ShardMap(3)
SPACE = 1
SOURCE = 5
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
#: A round event time to count from.
T0 = 1_700_000_000_000_000
#: Received after every event time of the tests.
RECEIVED_US = T0 + 400 * DAY_US


def split(name: str) -> tuple[str, str]:
    """Returns (type, value) of an identifier as it is written here."""
    type_, _, value = name.partition(":")
    return type_, value


@cache
def key(name: str) -> bytes:
    """Returns the key of an identifier, which lies on the shard it names."""
    wanted = int(name.rpartition("@")[2]) if "@" in name else 0
    for attempt in range(1_000):
        made = blake2b(f"{name} {attempt}".encode(), digest_size=16).digest()
        if SHARD_MAP.shard_of(made) == wanted:
            return made
    message = f"no key of {name} lies on shard {wanted}"
    raise AssertionError(message)


def member(name: str, incarnation: int = 0) -> bytes:
    """Returns an identifier's member."""
    return member_of(key(name), incarnation)


def mark(message_id: str) -> bytes:
    """Returns a message id's fingerprint."""
    return blake2b(message_id.encode(), digest_size=8).digest()


def frame(
    *names: str,
    message_id: str = "m1",
    time_us: int = T0,
    stamp_us: int = RECEIVED_US,
    stream: int = 1,
    flags: int = 0,
    type_: str = "track",
    traits: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    fingerprint: bytes | None = None,
    space: int = SPACE,
) -> bytes:
    """Packs an event with these identifiers, the anchor first."""
    body = Body(
        message_id,
        "Seen",
        b"" if traits is None else msgspec.json.encode(traits),
        b"",
        b"" if context is None else msgspec.json.encode(context),
    )
    return pack_frame(
        type_=TYPE_CODES[type_],
        flags=flags,
        space=space,
        source=SOURCE,
        time_us=time_us,
        stamp_us=stamp_us,
        stream=stream,
        mark=mark(message_id) if fingerprint is None else fingerprint,
        keys=[key(name) for name in names],
        strings=pack_pairs(split(name) for name in names),
        body=encode_body(body),
    )


def batch(*frames: bytes, call: int = 1, version: int = 1, space: int = SPACE) -> bytes:
    """Packs frames of one space into a batch."""
    return pack_batch(call.to_bytes(16, "big"), [(space, version)], frames)


def link(
    *names: str,
    position: int,
    shard: int = 0,
    time_us: int = T0,
    stamp_us: int = RECEIVED_US,
    stream: int = 1,
    founding: Founding | None = None,
    message_id: str = "m1",
    version: int = 1,
) -> PendingLink:
    """Returns a pending link as a shard lists it."""
    return PendingLink(
        shard=shard,
        position=position,
        index=0,
        space=SPACE,
        collection=0,
        rules_version=version,
        time_us=time_us,
        stamp_us=stamp_us,
        stream=stream,
        source=SOURCE,
        message_id=message_id,
        anchor=member(names[0]),
        founding=founding,
        ids=[(key(name), *split(name)) for name in names],
    )


def founding(
    stamp_us: int, *, stream: int = 9, time_us: int = T0, message_id: str = "founds"
) -> Founding:
    """Returns how an event with one identifier founded a profile."""
    return Founding(stamp_us, stream, time_us, SOURCE, message_id)
