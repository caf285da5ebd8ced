"""Random histories: a rules document and events that get in each other's way.

Pools of identifiers are small, so that most events meet others. What the rules leave open is left
out, since two right programs may differ there:

- two invalid things in one event; a group call that repeats a message id with the same group;
- one message id at one event time under two anchors with different values of one trait: repeats
  under another anchor carry no client time, and the time of receipt is unlike any other.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

Event = dict[str, Any]
Rules = dict[str, Any]

START = datetime(2024, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_S = 3600
DAY_S = 24 * HOUR_S
WINDOWS: tuple[Any, ...] = ("ever", "ever", "daily", "weekly", DAY_S // 2, HOUR_S, "monthly")
USER_TYPES = ("user_id", "email", "anonymous_id", "phone", "loyalty_card", "ios.id", "ga_client_id")
ACCOUNT_TYPES = ("crm_id", "group_id")
MESSAGE_ID_CHARACTERS_MAX = 100
# An event may have ten identifiers; whether dropped ones count is not said.
PLACES_MAX = 10
CUSTOM_TYPES = ("phone", "loyalty_card")
BLOCKED = ("null", "000", "Anonymous", "test-1")
INVALID: tuple[Any, ...] = (True, 1.5, 2**53, "", "  ", "a\u0007b", {"id": "u1"}, ["u1"], "x" * 257)
TRAIT_NAMES = ("plan", "name", "city")


def history(seed: int, size: int) -> tuple[Rules, list[Event]]:
    """A rules document and `size` events, their `received_at` rising strictly, in microseconds.

    The same seed and size give the same history, on every machine.
    """
    source = random.Random(seed)
    return _rules(source), _Writer(source).events(size)


def _rules(source: random.Random) -> Rules:
    """Rules that bite: few identifiers a type, several windows, low caps."""
    order = list(USER_TYPES)
    if source.random() < 0.4:
        source.shuffle(order)
    listed = order + list(ACCOUNT_TYPES)
    # Without a tail of types that are not listed, nobody would test its order.
    kept = [
        type_
        for type_ in listed
        if type_ in CUSTOM_TYPES or type_ == "user_id" or source.random() < 0.7
    ]
    document: Rules = {
        "identifiers": [_rule(source, type_) for type_ in kept],
        "others": {"limit": source.choice([1, 2, 5, None]), "window": source.choice(WINDOWS)},
        "alias_links": source.choice([None, None, "anonymous_id", "user_id"]),
        "caps": {
            "identifiers": source.choice([4, 8, 1000, 1000]),
            "merges": source.choice([1, 3, 100, 100]),
        },
    }
    if source.random() < 0.5:
        document["blocked"] = [
            {"exact": "ANONYMOUS"},
            {"pattern": "^0+$"},
            {"pattern": "test"},
            {"exact": "null"},
        ]
    if source.random() < 0.2:
        document["lowercase_email"] = False
    return document


def _rule(source: random.Random, type_: str) -> Rules:
    limit = source.choice([1, 1, 1, 2] if type_ == "user_id" else [1, 2, 2, 3, 5, None])
    rule: Rules = {"type": type_, "limit": limit, "window": source.choice(WINDOWS)}
    if type_ in CUSTOM_TYPES:
        rule["custom"] = True
    if source.random() < 0.15:
        # What an alias of a blocked user is, the rules do not say: its ids must not match.
        pattern = "^3$" if type_ == "user_id" else "3$"
        rule["blocked"] = [{"exact": "1"}, {"pattern": pattern}]
    return rule


class _Writer:
    """Writes the events of one history."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._pool = source.choice([3, 4, 6])
        self._received_us = (START - EPOCH) // timedelta(microseconds=1)
        self._sent: list[Event] = []

    def events(self, size: int) -> list[Event]:
        """Mostly new messages, now and then one that was sent before or takes an id of before."""
        for number in range(size):
            # Off every round time, so that no client time is ever a time of receipt.
            self._received_us += self._source.choice([1, 7, 60_000_001, 3_600_000_011])
            roll = self._source.random()
            earlier = self._source.choice(self._sent) if self._sent else None
            if earlier and roll < 0.06:
                event = self._again(earlier)
            elif earlier and roll < 0.12 and len(earlier["messageId"]) <= MESSAGE_ID_CHARACTERS_MAX:
                event = self._same_id(earlier["messageId"], number)
            else:
                event = self._new(f"m{number:03d}")
            self._sent.append(event | {"received_at": self._received_us})
        return self._sent

    def _again(self, earlier: Event) -> Event:
        """A message once more, at times with another payload and the same identifiers."""
        event = dict(earlier)
        for place in ("traits", "properties"):
            values = event.get(place)
            if values and set(values) <= set(TRAIT_NAMES) and self._chance(0.5):
                event[place] = {"plan": "of a repeat"}
        return event

    def _same_id(self, message_id: str, number: int) -> Event:
        """A message id of before, most likely under another anchor, and about no account."""
        event = self._new(message_id, calls=("identify", "track", "page"))
        for key in ("timestamp", "originalTimestamp", "sentAt"):
            event.pop(key, None)
        event.get("context", {}).pop("groupId", None)
        if not self._has_user(event):
            event["anonymousId"] = f"a{number % self._pool + 1}"
        return event

    def _new(self, message_id: str, calls: tuple[str, ...] = ()) -> Event:
        weighted = (
            "identify",
            "identify",
            "track",
            "track",
            "page",
            "screen",
            "group",
            "group",
            "alias",
        )
        call = self._source.choice(calls or weighted)
        event: Event = {"type": call, "messageId": message_id}
        if call == "alias":
            event |= {"userId": f"u{self._number()}", "previousId": self._previous_id()}
        else:
            self._add_identifiers(event)
            self._add_payload(event)
        if _places_filled(event) > PLACES_MAX:
            del event["context"]
        self._add_times(event)
        if self._chance(0.02):
            self._spoil(event)
        return event

    def _previous_id(self) -> str:
        return f"{self._source.choice('ua')}{self._number()}"

    def _add_identifiers(self, event: Event) -> None:
        if self._chance(0.5):
            event["userId"] = self._value("u")
        if self._chance(0.6):
            event["anonymousId"] = self._value("a")
        context: Event = {}
        if self._chance(0.15):
            context["device"] = self._device()
        if self._chance(0.15):
            context["integrations"] = {"Google Analytics": {"clientId": self._value("g")}}
        if self._chance(0.6 if event["type"] == "group" else 0.2):
            context["externalIds"] = [
                self._external_id() for _ in range(self._source.randint(1, 2))
            ]
        if event["type"] == "group":
            event["groupId"] = self._group_id()
        if self._chance(0.1):
            context["groupId"] = self._group_id()
        if context:
            event["context"] = context
        if not self._has_user(event) and event["type"] != "group":
            event["anonymousId"] = f"a{self._number()}"

    def _add_payload(self, event: Event) -> None:
        """Traits and properties, with identifiers among them; at most three places of them."""
        if event["type"] == "track":
            event["event"] = self._source.choice(["Order Completed", "Signed Up"])
        places = {"identify": "traits", "group": "traits"}.get(event["type"], "properties")
        if self._chance(0.8):
            event[places] = (
                self._payload(event["messageId"])
                if self._chance(0.9)
                else self._source.choice([{}, None])
            )
        # Whether an empty object counts as top-level traits is not said: no other beside it.
        has_traits = event["type"] == "identify" and event.get("traits") is not None
        if self._chance(0.2) and not (has_traits and not event["traits"]):
            event.setdefault("context", {})["traits"] = self._payload(event["messageId"])

    def _payload(self, message_id: str) -> Event:
        """Values that tell which message set them; a null removes."""
        values: Event = {
            name: self._source.choice(
                [f"{name} of {message_id}", len(message_id), "", None, {"deep": [1, "two"]}]
            )
            for name in TRAIT_NAMES
            if self._chance(0.4)
        }
        if self._chance(0.35):
            values["email"] = self._email()
        for key in ("phone", "loyalty_card", "loyaltyCard"):
            if self._chance(0.12):
                values[key] = self._value("c")
        return values

    def _add_times(self, event: Event) -> None:
        """None, late, equal, in the future, and clocks that are wrong with `sentAt` to show it."""
        if self._chance(0.2):
            return
        offset_s = self._source.choice(
            [0, 0, -1, -60, HOUR_S, 2 * DAY_S, -DAY_S // 2, -DAY_S, -7 * DAY_S]
        )
        steps = self._source.choice([0, 0, 1, 6, 12, 24])
        client = START + timedelta(seconds=offset_s, hours=-steps)
        event[self._source.choice(["timestamp", "timestamp", "originalTimestamp"])] = _iso(client)
        if self._chance(0.15):
            event["sentAt"] = _iso(
                client + timedelta(seconds=self._source.choice([0, 5, HOUR_S, DAY_S, -5]))
            )

    def _spoil(self, event: Event) -> None:
        """Makes one thing wrong that the whole event is refused for, and no other."""
        event["userId"] = f"u{self._number()}"
        by_call: dict[str, list[Event]] = {
            "track": [{"event": None}],
            "group": [{"groupId": ""}, {"groupId": None}],
            "alias": [{"previousId": None}],
        }
        spoils: list[Event] = [
            {"timestamp": "yesterday", "originalTimestamp": None},
            {"messageId": "i" * 101},
        ]
        spoils += by_call.get(event["type"], [{"type": "purchase"}])
        event |= self._source.choice(spoils)

    def _device(self) -> Event:
        system = self._source.choice(["ios", "ios", "android"])
        device: Event = {"type": system, "id": self._value("d")}
        if self._chance(0.3):
            tracking = self._source.choice([True, False, "true"])
            device |= {"advertisingId": self._value("d"), "adTrackingEnabled": tracking}
        if self._chance(0.3):
            device["token"] = self._value("t")
        return device

    def _external_id(self) -> Event:
        if self._chance(0.5):
            collection, type_ = "accounts", self._source.choice(ACCOUNT_TYPES)
        else:
            collection, type_ = "users", self._source.choice((*USER_TYPES, "new_type"))
        value = (
            self._email()
            if type_ == "email"
            else self._value("g" if collection == "accounts" else "c")
        )
        entry: Event = {"id": value, "type": type_, "collection": collection, "encoding": "none"}
        if type_ == "group_id":
            entry["id"] = self._group_id()
        if self._chance(0.08):
            entry[self._source.choice(["id", "collection", "encoding"])] = None
        return entry

    def _value(self, letter: str) -> Any:
        """Mostly one of the pool; else blocked, invalid, a number, or one in other clothes."""
        number = self._number()
        roll = self._source.random()
        if roll < 0.03:
            return self._source.choice(BLOCKED)
        if roll < 0.05:
            return self._source.choice(INVALID)
        if roll < 0.09:
            return self._source.choice([number, str(number), float(number)])
        if roll < 0.13:
            return self._source.choice(
                [f" {letter}{number}", f"{letter}{number}\u00a0", f"{letter.upper()}{number}"]
            )
        return f"{letter}{number}"

    def _email(self) -> str:
        local = f"e{self._number()}"
        return self._source.choice([local, local, local.upper(), f" {local}"]) + "@example.com"

    def _group_id(self) -> str:
        return f"g{self._number()}"

    def _number(self) -> int:
        return self._source.randint(1, self._pool)

    def _has_user(self, event: Event) -> bool:
        return isinstance(event.get("userId"), str) or isinstance(event.get("anonymousId"), str)

    def _chance(self, probability: float) -> bool:
        return self._source.random() < probability


def _places_filled(event: Event) -> int:
    """How many identifiers an event promotes at most."""
    context = event.get("context") or {}
    objects = (event.get("traits"), event.get("properties"), context.get("traits"))
    keys = [key for values in objects for key in values or () if key not in TRAIT_NAMES]
    top = sum(key in event for key in ("userId", "anonymousId", "groupId"))
    return (
        top
        + len(keys)
        + len(context)
        + len(context.get("device", ()))
        + len(context.get("externalIds", ()))
    )


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
