"""Which identifiers may be parted from a profile.

What follows from it is not decided here: the profile keeps the identifier's events and traits, the
identifier is listed, found and counted no more, and its next sighting starts afresh.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from unify_grpc.identity.identifiers import GROUP_ID, USER_ID

if TYPE_CHECKING:
    from collections.abc import Collection

    from unify_grpc.identity.identifiers import Identifier


class DeletionRefusal(IntEnum):
    """Why an identifier stays."""

    NOT_ON_PROFILE = 1
    """The profile does not hold it."""
    LOOKED_UP_BY = 2
    """The call names the profile by it."""
    GROUP_ID = 3
    """An account is known by it."""
    LAST_USER_ID = 4
    """It is the last user_id that the profile would hold."""


def judge_deletion(
    wanted: Collection[Identifier],
    held: Collection[Identifier],
    looked_up_by: Identifier | None,
) -> dict[Identifier, DeletionRefusal]:
    """Returns why identifiers may not be parted from a profile; empty: all of them may.

    Args:
        wanted: to be parted, together.
        held: by the profile now.
        looked_up_by: the identifier that the call names the profile by; None for a segment_id.
    """
    refused: dict[Identifier, DeletionRefusal] = {}
    for identifier in wanted:
        if identifier.type == GROUP_ID:
            refused[identifier] = DeletionRefusal.GROUP_ID
        elif identifier == looked_up_by:
            refused[identifier] = DeletionRefusal.LOOKED_UP_BY
        elif identifier not in held:
            refused[identifier] = DeletionRefusal.NOT_ON_PROFILE
    leaving = [each for each in wanted if each.type == USER_ID and each not in refused]
    staying = [each for each in held if each.type == USER_ID and each not in leaving]
    if leaving and not staying:
        refused.update(dict.fromkeys(leaving, DeletionRefusal.LAST_USER_ID))
    return refused
