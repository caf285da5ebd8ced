"""What callers of the open space send: few people, met again and again, under many identifiers.

The space has no limits, so that every order of arrival has the same result.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random

    from tests.chaos.ledger import Message

OPEN_RULES: Final[dict[str, Any]] = {
    "identifiers": [{"type": "user_id", "limit": None}, {"type": "email", "limit": None}],
    "others": {"limit": None},
    "caps": {"identifiers": 1_000_000, "merges": 1_000_000},
}
_START = datetime(2025, 1, 1, tzinfo=UTC)
_PEOPLE_PER_GROUP = 8
_DEVICES = 5
_EVENTS_PER_PERSON = 9
_REACH = 2
"""How far apart two people may be who turn out to be one."""
_KINDS = {
    "identify": 6,
    "track": 6,
    "page": 1,
    "screen": 1,
    "group": 3,
    "stranger": 2,
    "meeting": 1,
    "account": 1,
}


class People:
    """Writes the events of one caller; several callers meet the same people."""

    def __init__(self, source: random.Random, caller: str) -> None:
        """Takes a source of chance, and the name that the caller's message ids begin with."""
        self._source = source
        self._caller = caller
        self._count = 0
        self._weights = list(_KINDS.values())

    def next_message(self) -> Message:
        """Returns a new event."""
        kind = self._source.choices(list(_KINDS), self._weights)[0]
        person = self._person()
        message = getattr(self, f"_{kind}")(person)
        return self._finished(message)

    def identify_with(self, email: str) -> Message:
        """Returns an event that gives somebody an address that nobody else has."""
        person = self._person()
        return self._finished(
            {"type": "identify", "userId": f"u{person}", "traits": {"email": email}}
        )

    def alias_of(self, user_id: str) -> Message:
        """Returns an event about an earlier name of somebody."""
        previous_id = f"a{self._person()}-0"
        return self._finished({"type": "alias", "userId": user_id, "previousId": previous_id})

    def _person(self) -> int:
        """Somebody, most likely met before: new ones turn up as events are written."""
        return self._source.randrange(4 + self._count // _EVENTS_PER_PERSON)

    def _finished(self, message: Message) -> Message:
        """Gives it an id, and a time of its own, in an order that is not the one of sending."""
        self._count += 1
        offset = timedelta(seconds=self._source.randrange(10**6), milliseconds=self._count % 1000)
        message["messageId"] = f"{self._caller}-{self._count}"
        message["timestamp"] = (_START + offset).isoformat(timespec="milliseconds")
        return message

    def _device(self, person: int) -> str:
        return f"a{person}-{self._source.randrange(_DEVICES)}"

    def _traits(self, person: int) -> dict[str, Any]:
        traits: dict[str, Any] = {"plan": f"plan of {self._caller}-{self._count}"}
        if self._source.random() < 0.5:
            traits["email"] = f"P{person}@example.com"
        if self._source.random() < 0.2:
            traits["city"] = self._source.choice([None, "", {"name": "Bern"}, person])
        return traits

    def _identify(self, person: int) -> Message:
        message = {"type": "identify", "userId": f"u{person}", "traits": self._traits(person)}
        if self._source.random() < 0.6:
            message["anonymousId"] = self._device(person)
        return message

    def _track(self, person: int) -> Message:
        message = {
            "type": "track",
            "event": "Order Completed",
            "anonymousId": self._device(person),
            "properties": {"total": self._count},
        }
        if self._source.random() < 0.5:
            message["userId"] = f"u{person}"
        return message

    def _page(self, person: int) -> Message:
        return {"type": "page", "name": "Home", "anonymousId": self._device(person)}

    def _screen(self, person: int) -> Message:
        context = {"device": {"type": "ios", "id": f"d{person}"}}
        return {"type": "screen", "name": "Home", "userId": f"u{person}", "context": context}

    def _group(self, person: int) -> Message:
        message = {
            "type": "group",
            "groupId": f"g{person // _PEOPLE_PER_GROUP}",
            "traits": {"seats": self._count},
        }
        if self._source.random() < 0.8:
            message["userId"] = f"u{person}"
        if self._source.random() < 0.3:
            number = person // _PEOPLE_PER_GROUP
            entry = {"id": f"c{number}", "type": "crm_id", "collection": "accounts"}
            message["context"] = {"externalIds": [{**entry, "encoding": "none"}]}
        return message

    def _stranger(self, person: int) -> Message:
        """A link of an identifier that nobody has seen: never known traffic."""
        return {
            "type": "track",
            "event": "Signed Up",
            "userId": f"u{person}",
            "anonymousId": f"n{self._caller}-{self._count}",
        }

    def _meeting(self, person: int) -> Message:
        """Two people turn out to be one."""
        other = max(0, person + self._source.randint(-_REACH, _REACH))
        return {"type": "identify", "userId": f"u{person}", "anonymousId": self._device(other)}

    def _account(self, person: int) -> Message:
        return {
            "type": "track",
            "event": "Seen",
            "userId": f"u{person}",
            "context": {"groupId": f"g{person // _PEOPLE_PER_GROUP}"},
        }
