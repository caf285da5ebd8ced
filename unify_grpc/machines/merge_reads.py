"""The question that the merge actor answers beside its decisions: plain data, packed with msgpack.

It knows who was linked by which event, and neither what such an event said nor which profiles
single events founded and no link has touched: shards say the rest.
"""

from __future__ import annotations

import msgspec

from unify_grpc.machines.links import Founding, decoder


class ExplainLinks(msgspec.Struct, array_like=True, frozen=True):
    """Which links join these two, or which drops kept them apart?

    Both are of one collection. Members are taken as they are, so whoever asks has found out that
    they belong to the space.
    """

    space: int
    first: bytes
    """16 bytes: an identifier's present life; 20 bytes: this member."""
    second: bytes


class DecidedLink(msgspec.Struct, array_like=True, frozen=True):
    """An event whose identifiers were linked, and how that was decided."""

    shard: int
    position: int
    """Where that shard's log holds it."""
    seq: int
    time_us: int
    stamp_us: int
    source: int
    message_id: str
    rules_version: int
    outcome: int


class PathStep(msgspec.Struct, array_like=True, frozen=True):
    """Two identifiers that one event carried and that its profile kept."""

    from_identifier: tuple[str, str]
    """(type, value), nearer to the first that was asked about."""
    to_identifier: tuple[str, str]
    link: DecidedLink


class DroppedIdentifier(msgspec.Struct, array_like=True, frozen=True):
    """One identifier that was left out when an event was resolved."""

    type: str
    value: str
    reason: int
    link: DecidedLink


class ProfileChange(msgspec.Struct, array_like=True, frozen=True):
    """What one decision did to a profile."""

    root: bytes
    """The profile that it is about, named by its founding member."""
    link: DecidedLink
    is_founding: bool
    """Whether there was no such profile before."""
    absorbed: list[bytes]
    """Linked profiles that ended in it."""
    adopted: list[tuple[bytes, Founding]]
    """Members that an event had founded a profile for by itself, as the decision knew."""
    joined: list[bytes]
    """Members new to it. One that an event founds a profile for, unknown to the decision, too."""


class LinksExplained(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `ExplainLinks`, all of it as of one moment."""

    first_member: bytes
    second_member: bytes
    first_root: bytes | None
    """The linked profile of the first; None if no link ever kept it."""
    second_root: bytes | None
    path: list[PathStep]
    """From the first to the second. Empty unless both are of one profile."""
    drops: list[DroppedIdentifier]
    """That kept them apart, the newest first. Empty if they are of one profile."""
    changes: list[ProfileChange]
    """Of both profiles, in the order they were decided."""


encode = msgspec.msgpack.Encoder().encode
decode_question = decoder(ExplainLinks).decode
decode_answer = decoder(LinksExplained).decode
