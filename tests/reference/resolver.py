"""The reference resolver: the identity rules as plain code, one event after another."""

import unicodedata
from collections import ChainMap
from itertools import compress
from math import inf
from typing import Any

import re2

Event = dict[str, Any]  # As `decoding.py` leaves it: times in microseconds, objects as such.
Identifier = tuple[str, str, str]  # Collection, type, normalised value.
Drop = tuple[str, str, str, str]  # The same and the reason; an invalid value is as it was sent.
DAY = 86_400_000_000  # Microseconds.
WINDOWS = {"ever": inf, "daily": DAY, "weekly": 7 * DAY, "monthly": 30 * DAY, "annually": 365 * DAY}
PLACES = {  # When it counts (users: no alias; accounts: group calls; other: neither), and its path.
    "user_id": ["users/userId", "alias/userId", "alias to user_id/previousId"],
    "anonymous_id": ["users/anonymousId", "alias to anonymous_id/previousId"],
    "email": ["other/traits/email", "users/context/traits/email", "users/properties/email"],
    **{f"{os}.id": [f"{os}/context/device/id"] for os in ("android", "ios")},
    **{f"{os}.idfa": [f"{os} True/context/device/advertisingId"] for os in ("android", "ios")},
    **{f"{os}.push_token": [f"{os}/context/device/token"] for os in ("android", "ios")},
    "ga_client_id": ["users/context/integrations/Google Analytics/clientId"],
    "group_id": ["accounts/groupId", "other/context/groupId"],
}
CUSTOM_PLACES = ["other/traits/{}", "users/properties/{}", "users/context/traits/{}"]
OBJECTIONS = ("LIMIT_EXCEEDED", "WINDOW_LIMIT_EXCEEDED", "MERGE_CAP", "IDENTIFIER_CAP")
BLOCKED = ("-1", "null", "anonymous", "undefined", "nan", "[object Object]")
DEFAULTS: dict[str, Any] = {
    "identifiers": [{"type": "user_id"}, {"type": "email"}],
    "blocked": [{"pattern": "^[0-]*$"}, *({"exact": value} for value in BLOCKED)],
}
LOWER = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}
WHITE = "".join(filter(str.isspace, map(chr, (*range(0x1C), *range(0x20, 0x3001)))))  # Unicode's.


def dig(found: Any, *path: str) -> Any:
    """What stands at a path, None where nothing does."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


class Rules:
    """A rules document, completed by the defaults."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = DEFAULTS | document
        self.table = {entry["type"]: entry for entry in self.document["identifiers"]}
        self.caps = {"identifiers": 1000, "merges": 100} | document.get("caps", {})

    def limit(self, type_: str) -> tuple[float, float]:
        """How many identifiers are allowed in how many microseconds; infinite for no limit."""
        entry = self.table.get(type_) or {"limit": 5} | self.document.get("others", {})
        entry = {"limit": 1 if type_ == "user_id" else 5, "window": "ever"} | entry
        window = WINDOWS.get(entry["window"]) or entry["window"] * 1_000_000
        return inf if entry["limit"] is None else entry["limit"], window

    def normalise(self, type_: str, raw: Any) -> str | None:
        """The value as an identifier has it, None if it cannot be one."""
        if isinstance(raw, int | float) and not isinstance(raw, bool) and abs(raw) < 2**53:
            return str(int(raw)) if raw == int(raw) else None
        text = unicodedata.normalize("NFC", raw.strip(WHITE)) if isinstance(raw, str) else ""
        if type_ == "email" and self.document.get("lowercase_email", True):
            text = text.translate(LOWER)
        long = len(text) > 500 if type_ == "group_id" else len(text.encode(errors="replace")) > 256
        odd = any(unicodedata.category(each) in {"Cc", "Cs"} for each in text)
        return None if not text or long or odd else text

    def blocks(self, type_: str, value: str) -> bool:
        """Whether the list of every type or the type's own one has the value."""
        blocked = self.document["blocked"] + self.table.get(type_, {}).get("blocked", [])
        exact = [each["exact"].translate(LOWER) for each in blocked if "exact" in each]
        patterns = [each["pattern"] for each in blocked if "pattern" in each]
        return value.translate(LOWER) in exact or any(re2.search(each, value) for each in patterns)

    def promote(self, event: Event, met: set[str]) -> tuple[list[Identifier], list[Drop], bool]:
        """The identifiers by (side, priority, position), what was left out, whether they link."""
        os, tracked = (dig(event, "context", "device", k) for k in ("type", "adTrackingEnabled"))
        same = len({self.normalise("", event.get(key)) for key in ("userId", "previousId")}) == 1
        call, links = event.get("type"), None if same else self.document.get("alias_links")
        whens = ["users", "accounts" if call == "group" else "other", os, f"{os} {tracked!r}"]
        whens = ["alias", f"alias to {links}"] if call == "alias" else whens
        custom = {each: CUSTOM_PLACES for each in self.table if self.table[each].get("custom")}
        seen = list[tuple[str, str, Any]]()
        for type_, rows in [*PLACES.items(), *custom.items()]:
            side = "accounts" if type_ == "group_id" else "users"
            keys = (type_, re2.sub("_+(.?)", lambda found: found[1].upper(), type_))
            paths = [row.format(key).split("/") for row in rows for key in keys]
            seen += [(side, type_, dig(event, *path)) for when, *path in paths if when in whens]
        listed = dig(event, "context", "externalIds") or ()
        given = [[dig(e, key) for key in ("collection", "type", "id", "encoding")] for e in listed]
        sides = [each for each in ("users", "accounts") if each in whens]
        seen += [(s, t, i) for s, t, i, e in given if s in sides and isinstance(t, str) and e]
        kept, drops = dict[Identifier, tuple[bool, int, str]](), set[Drop]()
        for side, type_, raw in (each for each in seen if each[2] is not None):
            value = self.normalise(type_, raw)
            types = {*self.table, *met, *(each[1] for each in kept)}
            room = self.document.get("accept_new_types", True) and len(types) < 200
            known = room or type_ in types or type_ in PLACES
            if value is None or not known or not re2.fullmatch("[a-z0-9_.-]{1,64}", type_):
                drops.add((side, type_, raw[:256] if isinstance(raw, str) else "", "INVALID_VALUE"))
            elif self.blocks(type_, value):
                drops.add((side, type_, value, "BLOCKED"))
            else:
                kept[side, type_, value] = side != "users", [*self.table, type_].index(type_), type_
        return sorted(kept, key=lambda i: kept[i]), list(drops), call != "alias" or bool(links)


class Reference:
    """A space, as if its events were processed one at a time."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.versions, self.stamp_us, self.met = [Rules(rules)], 0, set[str]()
        self.profiles = dict[tuple[Any, ...], dict[Identifier, int]]()  # Each link's event time.
        self.known, self.history = dict[tuple[Any, ...], int](), dict[Identifier, list[Any]]()

    def send(self, event: Event) -> tuple[str, Any, Any, list[Drop], Identifier | None]:
        """Takes in a message: status, reason of a refusal, outcome, drops, anchor."""
        rules, call, name = self.versions[-1], event.get("type"), event.get("messageId")
        self.stamp_us = max(event["received_at"], self.stamp_us + 1)
        name = f"given by the server at {self.stamp_us}" if name in (None, "") else name
        sent_us = event.get("sentAt", self.stamp_us)
        client_us = event.get("originalTimestamp", event.get("timestamp", sent_us))
        time_us = min(self.stamp_us - (sent_us - client_us), self.stamp_us)
        ids, drops, joins = rules.promote(event, self.met)
        groups = (dig(event, "context", "groupId"), call == "group" and event.get("groupId"))
        group_ids = [each.strip(WHITE) for each in groups if isinstance(each, str)]
        refusals = {
            "UNKNOWN_TYPE": call not in ("identify", "track", "page", "screen", "group", "alias"),
            "INVALID_MESSAGE_ID": not isinstance(name, str) or len(name) > 100,
            "INVALID_GROUP_ID": any(not 0 < len(each) <= 500 for each in group_ids),
            "MISSING_EVENT_NAME": call == "track" and not event.get("event"),
            "MISSING_GROUP_ID": call == "group" and event.get("groupId") is None,
            "MISSING_USER_ID": call == "alias" and event.get("userId") in (None, ""),
            "MISSING_PREVIOUS_ID": call == "alias" and event.get("previousId") in (None, ""),
            "TOO_MANY_TRAITS": len(event.get("traits") or ()) > 300,
            "TOO_MANY_PROPERTIES": len(event.get("properties") or ()) > 300,
            "TOO_MANY_IDENTIFIERS": len(ids) > 10,
            "INVALID_TIMESTAMP": min(time_us, sent_us, client_us) < 0,
        }
        if any(refusals.values()):
            return "REJECTED", next(compress(refusals, refusals.values())), None, [], None
        keys = [(*each.promote(event, self.met)[0][:1], name) for each in self.versions]
        if any(self.stamp_us - self.known.get(key, -inf) < 30 * DAY for key in keys):
            return "DUPLICATE", None, None, [], None
        if not ids:
            return "REJECTED", "NO_IDENTIFIER", None, drops, None
        self.known[keys[-1]] = self.stamp_us
        self.met |= {type_ for _, type_, _ in ids}
        own = event.get("traits") or (call == "identify" and dig(event, "context", "traits"))
        for collection, carrier in (("accounts", "group"), ("users", "identify")):
            if side := [each for each in ids if each[0] == collection]:
                traits = own if call == carrier and isinstance(own, dict) else {}
                self.history.setdefault(side[0], []).append((time_us, name, self.stamp_us, traits))
                outcome, refused = self.resolve(side, rules, time_us) if joins else (None, [])
                drops += refused
        return "STORED", None, outcome, drops, ids[0]

    def resolve(self, ids: list[Identifier], rules: Rules, time_us: int) -> tuple[str, list[Drop]]:
        """Links identifiers of one collection, the anchor first; the outcome, and what it left."""
        kept, refused = list(ids), list[Drop]()
        while True:
            joined = {each: linked for each, linked in self.profiles.items() if {*kept} & {*linked}}
            union = dict.fromkeys(kept, time_us) | dict(ChainMap(*joined.values()))
            over = set[float]()
            for type_ in {each[1] for each in union}:
                limit, window = rules.limit(type_)
                count, *counts = (
                    sum(t == type_ and abs(us - time_us) < window for (_, t, _), us in p.items())
                    for p in (union, *joined.values())
                )
                over |= {window} if count > max([limit, *counts]) else set()
            stamps = sorted(stamp for _, *stamps in joined for stamp in stamps) or [self.stamp_us]
            merges = len(joined) > 1 and len(stamps) - 1 > rules.caps["merges"]
            many = len(union) > max([rules.caps["identifiers"], *map(len, joined.values())])
            reason = next(compress(OBJECTIONS, (inf in over, over, merges, many)), None)
            if reason is None or len(kept) == 1:
                break
            refused.append((*kept.pop(), reason))
        others = {each: linked for each, linked in self.profiles.items() if each not in joined}
        self.profiles = others | {(ids[0][0], *stamps): union}
        drops = [each for each in refused if each[:3] not in union]
        return ("CREATED", "ATTACHED", "MERGED")[min(len(joined), 2)], drops

    def delete(self, gone: Identifier, looked_up_by: Identifier) -> str | None:
        """Deletes an identifier from the profile of another; why, if that is not possible."""
        linked = next((each for each in self.profiles.values() if looked_up_by in each), {})
        last = [each for each in linked if each[1] == "user_id"] == [gone]
        checks = (gone[1] == "group_id", gone == looked_up_by, gone not in linked, last)
        reasons = ("GROUP_ID", "LOOKED_UP_BY", "NOT_ON_PROFILE", "LAST_USER_ID")
        if not any(checks):
            del linked[gone]  # What it brought stays with the profile.
            self.history.setdefault(looked_up_by, []).extend(self.history.pop(gone, []))
        return next(compress(reasons, checks), None)

    def stored(self, identifier: Identifier) -> list[Any]:
        """The events of its profile by (event time, message id): of a trait the last wins."""
        linked = next((each for each in self.profiles.values() if identifier in each), [identifier])
        return sorted(row for each in linked for row in self.history.get(each, ()))
