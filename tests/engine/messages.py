"""Segment messages of the tests in the form in which a gateway stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unify_grpc.machines.batch import Body

if TYPE_CHECKING:
    from unify_grpc.identity.events import ClientEvent


def body_of(event: ClientEvent, message: dict[str, Any], call: int, index: int) -> Body:
    """Returns what is stored of a message; a missing message id is given."""
    return Body(
        event.message_id or f"given-{call}-{index}",
        event.name or "",
        _json(event.traits),
        _json(event.properties),
        _json(event.context),
        _json(message.get("externalIds")),
    )


def _json(value: object) -> bytes:
    return b"" if value is None else msgspec.json.encode(value)
