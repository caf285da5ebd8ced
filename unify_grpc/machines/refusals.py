"""Refused events as a shard keeps them: the frame of one, and its body.

A refused event has no identifier to be stored under. It travels in the batches of events as a
frame of its own kind, is logged and listed among the violations, and touches nothing else.
"""

from __future__ import annotations

import msgspec

from unify_grpc.machines.batch import (
    FLAG_REFUSED,
    TYPE_CODES,
    Batch,
    Body,
    Frame,
    encode_body,
    pack_frame,
)
from unify_grpc.machines.noted_drops import NotedDrop

FORMAT = 1
UNKNOWN_TYPE_CODE = 0xFF
BODY_BYTES_MAX = 32 * 1024
"""Of all that is kept of a refused event's objects."""
TEXT_CHARS_MAX = 500
"""Of each id and name that is kept."""
_OBJECTS = ("traits", "properties", "context", "external_ids")
_TEXTS = ("message_id", "name", "user_id", "anonymous_id", "group_id", "previous_id")


class RefusedBody(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a refused event."""

    format: int
    reason: int
    type: str
    """As sent, cut: it may be none that is known."""
    body: Body
    omitted: list[str]
    """Parts that were too large to be kept whole, or could not be read."""
    drops: list[NotedDrop]
    """What promotion left out, where it came that far."""


_decode = msgspec.msgpack.Decoder(RefusedBody).decode


def cut_body(body: Body) -> tuple[Body, list[str]]:
    """Returns what of a body is kept, and the names of the parts that are cut or left out.

    Texts are cut; an object is kept whole or not at all, since half of one says nothing.
    """
    kept = Body(message_id=body.message_id, name=body.name)
    omitted = []
    for name in _TEXTS:
        text = getattr(body, name)
        if text is not None and len(text) > TEXT_CHARS_MAX:
            omitted.append(name)
            text = text[:TEXT_CHARS_MAX]
        setattr(kept, name, text)
    room = BODY_BYTES_MAX
    for name in sorted(_OBJECTS, key=lambda each: len(getattr(body, each))):
        data = getattr(body, name)
        if len(data) > room:
            omitted.append(name)
            continue
        room -= len(data)
        setattr(kept, name, data)
    kept.client_time_us, kept.sent_at_us = body.client_time_us, body.sent_at_us
    return kept, omitted


def pack_refusal(
    refused: RefusedBody, *, space: int, source: int, stamp_us: int, stream: int, mark: bytes
) -> bytes:
    """Packs the frame of a refused event; names as in `pack_frame`."""
    client_us = refused.body.client_time_us
    return pack_frame(
        type_=TYPE_CODES.get(refused.type, UNKNOWN_TYPE_CODE),
        flags=FLAG_REFUSED,
        space=space,
        source=source,
        time_us=stamp_us if client_us is None else min(client_us, stamp_us),
        stamp_us=stamp_us,
        stream=stream,
        mark=mark,
        keys=[],
        strings=b"",
        body=encode_body(refused),
    )


def refusal_in(batch: Batch, index: int, frame: Frame) -> RefusedBody:
    """Reads a refused event out of its batch; `ValueError` on another format."""
    refused = _decode(batch.body_bytes(index, frame))
    if refused.format != FORMAT:
        raise ValueError(f"a refused event of format {refused.format} is not known here")
    return refused
