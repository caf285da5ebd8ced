"""Everything that can be answered about an event, numbered for good.

The numbers are stored in records: a member may be added, never renumbered or reused.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Outcome(IntEnum):
    """What an event did to the identity graph."""

    CREATED = 1
    """A profile was founded."""
    ATTACHED = 2
    """The event belongs to a profile that was there, with or without new identifiers."""
    MERGED = 3
    """Two or more profiles became one."""
    PENDING = 4
    """Stored; its link is not decided yet."""


class DropReason(IntEnum):
    """Why an identifier of an event was left out."""

    LIMIT_EXCEEDED = 1
    """A type limited for ever would have been over its limit."""
    WINDOW_LIMIT_EXCEEDED = 2
    """A type limited in a window would have been over its limit."""
    MERGE_CAP = 3
    """The profile would have been made of more merges than the space allows."""
    IDENTIFIER_CAP = 4
    """The profile would have held more identifiers than the space allows."""
    BLOCKED = 5
    """The value is on the type's blocked list."""
    INVALID_VALUE = 6
    """The value, or the type, cannot be an identifier in this space."""


class RejectionReason(IntEnum):
    """Why a whole event was refused; it is on no profile."""

    NO_IDENTIFIER = 1
    """Nothing in the event identifies anybody."""
    INVALID_TIMESTAMP = 2
    """A time is unreadable, or before 1970."""
    UNKNOWN_TYPE = 3
    """The type is none of identify, track, page, screen, group, alias."""
    EVENT_TOO_LARGE = 4
    """The event is over 32 KB as sent."""
    TOO_MANY_TRAITS = 5
    """Over 300 traits."""
    TOO_MANY_PROPERTIES = 6
    """Over 300 properties."""
    TOO_DEEP = 7
    """Traits, properties or context nest deeper than 8."""
    TOO_MANY_IDENTIFIERS = 8
    """Over 10 identifiers."""
    INVALID_MESSAGE_ID = 9
    """The message id is not a text of at most 100 characters."""
    MISSING_EVENT_NAME = 10
    """A track without the name of what happened."""
    INVALID_GROUP_ID = 11
    """A group id is empty or over 500 characters."""
    MISSING_GROUP_ID = 12
    """A group call without a group id."""
    MISSING_USER_ID = 13
    """An alias without a user id."""
    MISSING_PREVIOUS_ID = 14
    """An alias without a previous id."""
    INVALID_JSON = 15
    """Not standard JSON, or a field that is not of its kind."""


REJECTION_TEXTS: Final = {
    RejectionReason.NO_IDENTIFIER: "nothing in the event identifies anybody",
    RejectionReason.INVALID_TIMESTAMP: "a time is unreadable, or before 1970",
    RejectionReason.UNKNOWN_TYPE: "the type is none of identify, track, page, screen, group, alias",
    RejectionReason.EVENT_TOO_LARGE: "the event is over 32 KB",
    RejectionReason.TOO_MANY_TRAITS: "there are over 300 traits",
    RejectionReason.TOO_MANY_PROPERTIES: "there are over 300 properties",
    RejectionReason.TOO_DEEP: "traits, properties or context nest deeper than 8",
    RejectionReason.TOO_MANY_IDENTIFIERS: "there are over 10 identifiers",
    RejectionReason.INVALID_MESSAGE_ID: "the message id is no text of at most 100 characters",
    RejectionReason.MISSING_EVENT_NAME: "a track needs the name of its event",
    RejectionReason.INVALID_GROUP_ID: "a group id is empty or over 500 characters",
    RejectionReason.MISSING_GROUP_ID: "a group call needs a group id",
    RejectionReason.MISSING_USER_ID: "an alias needs a user id",
    RejectionReason.MISSING_PREVIOUS_ID: "an alias needs a previous id",
    RejectionReason.INVALID_JSON: "traits, properties or context are no standard JSON object",
}
"""For people; programs read the reason."""


class EventRejected(Exception):  # noqa: N818  a refusal is an answer to the caller, not our error
    """One event is refused; the rest of its batch goes on.

    Attributes:
        reason: why. The text is derived from it and never contains a value of the event.
    """

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"event rejected: {self.reason.name}"
