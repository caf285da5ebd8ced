"""The batch of events that a gateway sends to a shard, which is also what the shard logs.

One layout from the wire to the log, so that nothing is encoded twice: a header, a table of
offsets, and one *frame* per event. A frame has fixed fields, the keys of its identifiers (the
anchor first), their types and values, and the body: what the caller sent, packed with msgpack,
which a shard opens only where it has to.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = 2
EVENT_TYPES = ("identify", "track", "page", "screen", "group", "alias")
TYPE_CODES = {name: code for code, name in enumerate(EVENT_TYPES)}
FLAG_ACCOUNT_SIDE = 1
"""The anchor is an account's identifier."""
FLAG_COUNTERPART = 2
"""One key more than `key_count`, and its type and value: the anchor of the other side.

What else one side says about the other ends the frame's strings (`owed_sides`).
"""
FLAG_TRAITS = 4
"""The body's `traits` set traits of the anchor's profile."""
FLAG_CONTEXT_TRAITS = 8
"""The `traits` inside the body's `context` do."""

FLAG_HISTORY = 16
"""Kept in the anchor's history only: it joins nothing and founds no profile."""
FLAG_DROPS = 32
"""Behind its identifiers' texts the frame says what promotion left out (`noted_drops`)."""
FLAG_REFUSED = 64
"""No event but the record of a refused one (`refusals`): no keys, and a body of its own."""
FLAG_PROBE = 128
"""No event but the question whether the anchor holds this message (`probing`)."""

CALL_ID_BYTES = 16
BATCH_EVENTS_MAX = 0xFFFF
_HEADER = struct.Struct("<BBxxII16s")
_SPACE = struct.Struct("<II")
FRAME = struct.Struct("<BBBxIIIqqQ8s")
FRAME_BYTES = FRAME.size
_OFFSET = struct.Struct("<I")
_STRING = struct.Struct("<BH")
PART_BYTES = struct.Struct("<I")
"""Ends the strings of a user's side: how long the account's part before it is."""
LIFE_BYTES = 4
"""Ends the strings of an account's side: the incarnation of the user's anchor."""


class Frame(NamedTuple):
    """The fixed fields of a frame, in their order on the wire."""

    type: int
    """Index into `EVENT_TYPES`."""
    flags: int
    key_count: int
    space: int
    source: int
    strings_bytes: int
    time_us: int
    """Event time, microseconds since 1970."""
    stamp_us: int
    stream: int
    """The caller's stream, or its unary request."""
    mark: bytes
    """Fingerprint of the message id, eight bytes."""


class Body(msgspec.Struct, array_like=True):
    """What the caller sent beyond the frame; JSON parts as text, empty if absent."""

    message_id: str
    name: str = ""
    """A track's event name, a page's or screen's name."""
    traits: bytes = b""
    properties: bytes = b""
    context: bytes = b""
    external_ids: bytes = b""
    user_id: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    client_time_us: int | None = None
    sent_at_us: int | None = None


class FullBody(Body):
    """A body of a caller that said more than events have fields for; decodes as a `Body`, too."""

    rest: bytes = b""
    """The other keys of the message, with their values, as the text of a JSON object."""


encode_body = msgspec.msgpack.Encoder().encode
decode_body = msgspec.msgpack.Decoder(Body).decode


_NO_NAMES: frozenset[str] = frozenset()
_names_decoder = msgspec.msgpack.Decoder(dict[int, frozenset[str]])


@lru_cache(maxsize=256)
def _decode_names(data: bytes) -> dict[int, frozenset[str]]:
    return _names_decoder.decode(data)


class LinkId(NamedTuple):
    """One identifier of an event as the batch carries it."""

    key: bytes
    type: str
    value: str


def pack_strings(identifiers: Iterable[tuple[str, str]]) -> bytes:
    """Packs the (type, value) pairs of a frame's identifiers, in the order of its keys."""
    parts = []
    for type_, value in identifiers:
        type_bytes, value_bytes = type_.encode(), value.encode()
        parts.append(_STRING.pack(len(type_bytes), len(value_bytes)))
        parts.append(type_bytes)
        parts.append(value_bytes)
    return b"".join(parts)


def unpack_strings(data: bytes, start: int, count: int) -> list[tuple[str, str]]:
    """Reads `count` (type, value) pairs that `pack_strings` wrote."""
    pairs = []
    for _ in range(count):
        type_bytes, value_bytes = _STRING.unpack_from(data, start)
        middle = start + _STRING.size + type_bytes
        end = middle + value_bytes
        pairs.append((data[middle - type_bytes : middle].decode(), data[middle:end].decode()))
        start = end
    return pairs


def pack_frame(
    *,
    type_: int,
    flags: int,
    space: int,
    source: int,
    time_us: int,
    stamp_us: int,
    stream: int,
    mark: bytes,
    keys: Sequence[bytes],
    strings: bytes,
    body: bytes,
) -> bytes:
    """Packs one event for the shard of its anchor, `keys[0]`.

    With `FLAG_COUNTERPART` the last key is the anchor of the event's other side.
    """
    count = len(keys) - 1 if flags & FLAG_COUNTERPART else len(keys)
    head = FRAME.pack(
        type_, flags, count, space, source, len(strings), time_us, stamp_us, stream, mark
    )
    return b"".join((head, *keys, strings, body))


def pack_batch(
    call_id: bytes,
    rules: Sequence[tuple[int, int]],
    frames: Sequence[bytes],
    searchable: Mapping[int, Sequence[str]] | None = None,
) -> bytes:
    """Joins frames into a batch.

    Args:
        call_id: 16 bytes, the same on every attempt of the same call.
        rules: (space, rules version) the frames were promoted under, each space once.
        frames: at most `BATCH_EVENTS_MAX`.
        searchable: by space, the names of the traits that profiles are found by.
    """
    names = encode_body(searchable) if searchable else b""
    head = _HEADER.pack(FORMAT, len(rules), len(names), len(frames), call_id)
    start = len(head) + _SPACE.size * len(rules) + len(names) + 4 * len(frames)
    offsets = []
    for frame in frames:
        offsets.append(start)
        start += len(frame)
    return b"".join(
        [
            head,
            *(_SPACE.pack(*pair) for pair in rules),
            names,
            struct.pack(f"<{len(offsets)}I", *offsets),
            *frames,
        ]
    )


def frame_bounds(data: bytes | memoryview, start: int, index: int) -> tuple[int, int]:
    """Returns where one frame of a batch begins and ends, without a look at the others.

    Args:
        data: that holds the batch, to its end.
        start: of the batch in it.
        index: of the frame; `IndexError` if the batch has no such one.
    """
    _, rules_count, names_bytes, count, _ = _HEADER.unpack_from(data, start)
    if not 0 <= index < count:
        raise IndexError(index)
    at = start + _HEADER.size + rules_count * _SPACE.size + names_bytes + index * _OFFSET.size
    begin = start + _OFFSET.unpack_from(data, at)[0]
    if index + 1 == count:
        return begin, len(data)
    return begin, start + _OFFSET.unpack_from(data, at + _OFFSET.size)[0]


class Batch:
    """A batch as it lies in memory, wherever it starts in a record."""

    __slots__ = ("_names", "call_id", "data", "offsets", "rules", "start")

    def __init__(self, data: bytes, start: int = 0) -> None:
        """Reads the header; `ValueError` if the format is another one."""
        format_, rules_count, names_bytes, count, self.call_id = _HEADER.unpack_from(data, start)
        if format_ != FORMAT:
            message = f"batch format {format_} is not known here"
            raise ValueError(message)
        self.data = data
        self.start = start
        position = start + _HEADER.size
        self.rules: list[tuple[int, int]] = [
            _SPACE.unpack_from(data, position + index * _SPACE.size) for index in range(rules_count)
        ]
        position += rules_count * _SPACE.size
        # Of data that is read in place, this is kept longer than that.
        self._names = bytes(data[position : position + names_bytes])
        position += names_bytes
        self.offsets: tuple[int, ...] = struct.unpack_from(f"<{count}I", data, position)

    def searchable(self, space: int) -> frozenset[str]:
        """Returns the names of the traits that the space's profiles are found by."""
        return _decode_names(self._names).get(space, _NO_NAMES) if self._names else _NO_NAMES

    def says_searchable(self, space: int) -> bool:
        """Whether the batch says by which traits the space's profiles are found, be it by none."""
        return bool(self._names) and space in _decode_names(self._names)

    def frame(self, index: int) -> Frame:
        """Returns the fixed fields of one frame."""
        return Frame._make(FRAME.unpack_from(self.data, self.start + self.offsets[index]))

    def keys(self, index: int, count: int) -> list[bytes]:
        """Returns the first `count` identifier keys of a frame; the anchor is the first."""
        start = self.start + self.offsets[index] + FRAME_BYTES
        return [self.data[start + 16 * each : start + 16 * each + 16] for each in range(count)]

    def identifiers(self, index: int) -> list[LinkId]:
        """Returns a frame's own identifiers with their types and values, the anchor first."""
        frame = self.frame(index)
        keys = self.keys(index, frame.key_count)
        strings = unpack_strings(self.data, self._strings_start(index, frame), frame.key_count)
        return [LinkId(key, *pair) for key, pair in zip(keys, strings, strict=True)]

    def anchor_strings(self, index: int, frame: Frame) -> tuple[str, str]:
        """Returns (type, value) of the anchor."""
        return unpack_strings(self.data, self._strings_start(index, frame), 1)[0]

    def notes(self, index: int, frame: Frame) -> bytes:
        """Returns what stands behind the texts of a frame's identifiers; empty if nothing does."""
        at = self._strings_start(index, frame)
        end = self.trailer_start(index, frame)
        for _ in range(frame.key_count + (1 if frame.flags & FLAG_COUNTERPART else 0)):
            at += _STRING.size + sum(_STRING.unpack_from(self.data, at))
        return self.data[at:end]

    def body(self, index: int, frame: Frame) -> Body:
        """Returns the event as the caller sent it."""
        return decode_body(self.body_bytes(index, frame))

    def body_bytes(self, index: int, frame: Frame) -> memoryview:
        """Returns the body as it is packed."""
        last = index + 1 == len(self.offsets)
        end = len(self.data) if last else self.start + self.offsets[index + 1]
        return memoryview(self.data)[self.strings_end(index, frame) : end]

    def trailer_start(self, index: int, frame: Frame) -> int:
        """Returns where in `data` begins what one side of an event says about the other."""
        end = self.strings_end(index, frame)
        if not frame.flags & FLAG_COUNTERPART:
            return end
        if frame.flags & FLAG_ACCOUNT_SIDE:
            return end - LIFE_BYTES
        (part_bytes,) = PART_BYTES.unpack_from(self.data, end - PART_BYTES.size)
        return end - PART_BYTES.size - int(part_bytes)

    def strings_end(self, index: int, frame: Frame) -> int:
        """Returns where in `data` the strings of a frame end, and its body begins."""
        return self._strings_start(index, frame) + frame.strings_bytes

    def _strings_start(self, index: int, frame: Frame) -> int:
        extra = 1 if frame.flags & FLAG_COUNTERPART else 0
        keys = 16 * (frame.key_count + extra)
        return self.start + self.offsets[index] + FRAME_BYTES + keys
