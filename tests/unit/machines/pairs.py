"""Events about a user and an account, as a gateway frames them, for tests of the machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.engine.messages import body_of
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.framing import MarkMaker, SpaceView, frame_event
from unify_grpc.placement.members import member_of

if TYPE_CHECKING:
    from unify_grpc.machines.framing import Side

SPACE = SpaceView(1, Rules.from_document({}, 1), KeyMaker(b"k" * 32), MarkMaker(b"m" * 32))
RECEIVED_US = 1_800_000_000_000_000
SOURCE = 3


def pair(*, user: str = "u", group: str = "g", **fields: Any) -> tuple[Side, Side]:
    """Returns the user's and the account's side of a group call; `fields` as for `sides_of`."""
    user_side, account_side = sides_of(type="group", userId=user, groupId=group, **fields)
    return user_side, account_side


def sides_of(*, message_id: str = "m", received_us: int = RECEIVED_US, **fields: Any) -> list[Side]:
    """Returns the sides of a Segment message of 2024-01-01, midnight, unless it says otherwise."""
    message = {"messageId": message_id, "timestamp": "2024-01-01T00:00:00Z", **fields}
    event = from_segment_message(message)
    framed = frame_event(
        event,
        body_of(event, message, 1, 0),
        space=SPACE,
        source=SOURCE,
        received_us=received_us,
        stream=1,
    )
    return list(framed.sides)


def member_at(side: Side, life: int = 0) -> bytes:
    """Returns the member of a side's anchor."""
    return member_of(side.key, life)
