"""Questions that one shard answers, and its answers: plain data, packed with msgpack."""

from __future__ import annotations

from typing import Any

import msgspec

from unify_grpc.machines.link_questions import LINK_ANSWERS, LinkAnswer, LinkQuestion
from unify_grpc.machines.links import Founding, LookedUp
from unify_grpc.machines.list_questions import LIST_ANSWERS, ListAnswer, ListQuestion
from unify_grpc.machines.stored_event import StoredEvent


class Locate(msgspec.Struct, array_like=True, frozen=True, tag="locate"):
    """Where does this identifier, or the profile that this member founded, live?"""

    space: int
    key: bytes
    """16 bytes: the identifier's present life; 20 bytes: this member."""
    collection: int | None = None
    """0 users, 1 accounts: one of the other is not there. None: whichever it is of."""


class Located(msgspec.Struct, array_like=True, frozen=True):
    """What a shard found for a `Locate`."""

    root: bytes | None
    """The profile; None if there is none."""
    members: list[bytes] | None
    """Of that profile, if its home is here: then `root` is live. None: ask at its home."""
    merges: int = 0
    created_us: int = 0
    hidden: list[bytes] = []
    """Those of `members` that were deleted: gathered, but neither listed nor found."""


class LookUpName(msgspec.Struct, array_like=True, frozen=True, tag="name"):
    """Which life is this identifier in, and did an event found a profile for it alone?"""

    key: bytes


class Gather(msgspec.Struct, array_like=True, frozen=True, tag="gather"):
    """What is stored under this member?"""

    member: bytes
    with_traits: bool


class Sent(msgspec.Struct, array_like=True, frozen=True):
    """Which event, and who sent it when."""

    stamp_us: int
    source: int
    message_id: str


class Gathered(msgspec.Struct, array_like=True, frozen=True):
    """What a member contributes to its profile."""

    member: bytes
    type: str
    """Empty if the member was not bound here yet: it is not to be shown."""
    value: str
    joined_us: int
    source: int
    message_id: str
    counts: list[int]
    """Of its events, by type."""
    first_us: int
    """Earliest event time; 0 without events, like all below."""
    last_us: int
    first_sent: Sent | None
    """The event that was stored first; None without events."""
    last_sent: Sent | None
    traits: bytes
    """msgpack of `dict[str, TraitCell]`; empty if none."""


class ListEvents(msgspec.Struct, array_like=True, frozen=True, tag="events"):
    """Which events are stored under these members? In order of (time, message id, member)."""

    members: list[bytes]
    types: list[int]
    """Of `EVENT_TYPES`; empty: all."""
    start_us: int | None
    """Later than this."""
    end_us: int | None
    """Earlier than this."""
    include: list[str] | None
    exclude: list[str]
    ascending: bool
    after: tuple[int, str, bytes] | None
    """The last (time, message id, member) of the page before."""
    limit: int


class EventsAt(msgspec.Struct, array_like=True, frozen=True, tag="at"):
    """What is said of the events at these positions of the log?"""

    positions: list[int]


class ToldEvent(msgspec.Struct, array_like=True, frozen=True):
    """What explains an event to people."""

    type: int
    """Into `EVENT_TYPES`."""
    name: str
    """Its own; empty where it had none."""


class FoundingsOf(msgspec.Struct, array_like=True, frozen=True, tag="foundings"):
    """For which of these members did an event found a profile by itself?"""

    space: int
    members: list[bytes]


class FoundedMember(msgspec.Struct, array_like=True, frozen=True):
    """A member that an event founded a profile for, whatever became of that profile."""

    member: bytes
    founding: Founding


Question = (
    Locate | LookUpName | Gather | ListEvents | EventsAt | FoundingsOf | ListQuestion | LinkQuestion
)
Answer = (
    Located
    | LookedUp
    | Gathered
    | list[StoredEvent]
    | list[ToldEvent]
    | list[FoundedMember]
    | ListAnswer
    | LinkAnswer
)

encode_questions = msgspec.msgpack.Encoder().encode
decode_questions = msgspec.msgpack.Decoder(list[Question]).decode
encode_answers = msgspec.msgpack.Encoder().encode

_ANSWERS: dict[type, type] = {
    EventsAt: list[ToldEvent],
    FoundingsOf: list[FoundedMember],
    Locate: Located,
    LookUpName: LookedUp,
    Gather: Gathered,
    ListEvents: list[StoredEvent],
    **LIST_ANSWERS,
    **LINK_ANSWERS,
}
_raw_answers = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decoders: dict[type, Any] = {
    question: msgspec.msgpack.Decoder(answer).decode for question, answer in _ANSWERS.items()
}


def decode_answers(questions: list[Question], data: bytes) -> list[Answer]:
    """Reads the answers to these questions, in their order."""
    return [
        _decoders[type(question)](raw)
        for question, raw in zip(questions, _raw_answers(data), strict=True)
    ]
