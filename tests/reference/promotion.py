"""Which identifiers an event promotes: every place of the table, in the order of the table."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reference.rules import Rules, lower_a_to_z

if TYPE_CHECKING:
    from collections.abc import Iterator

# What Unicode calls white space. `str.strip` alone would take U+001C to U+001F as well.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(code) for code in range(0x2000, 0x200B)
)
TYPE_NAME = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)
INTEGERS_BELOW = 2**53
VALUE_BYTES_MAX = 256
GROUP_ID_CHARACTERS_MAX = 500


class Identifier(NamedTuple):
    """A normalised identifier."""

    collection: str
    type: str
    value: str


class Drop(NamedTuple):
    """An identifier left out, and why.

    A value that cannot be an identifier is given as sent, and as '' if it is no text.
    """

    collection: str
    type: str
    value: str
    reason: str


class Promotion(NamedTuple):
    """The identifiers of each collection by (priority, position), and promotion's own drops."""

    users: list[Identifier]
    accounts: list[Identifier]
    drops: list[Drop]
    joins: bool = True
    """False for an alias that only enters the history of its one identifier."""

    @property
    def anchor(self) -> Identifier | None:
        """The first identifier of the users, of the accounts where there is no user, else None."""
        return next(iter([*self.users, *self.accounts]), None)


def promote(event: dict[str, Any], rules: Rules) -> Promotion:
    """Promotes, normalises, blocks, orders; an identifier or a drop met twice counts once."""
    if event["type"] == "alias":
        return _promote_alias(event, rules)
    return _judge(_sightings(event, rules.custom_types), rules)


def normalise(type_: str, value: Any, *, lowercase_email: bool = True) -> str | None:
    """The value as an identifier has it, or None if it cannot be one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        integral = abs(value) < INTEGERS_BELOW and value == int(value)
        return str(int(value)) if integral else None
    text = unicodedata.normalize("NFC", value.strip(WHITE_SPACE))
    if type_ == "email" and lowercase_email:
        text = lower_a_to_z(text)
    if not text or any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        return None
    if type_ == "group_id":
        return text if len(text) <= GROUP_ID_CHARACTERS_MAX else None
    return text if len(text.encode()) <= VALUE_BYTES_MAX else None


def inner(event: dict[str, Any], *path: str) -> dict[str, Any]:
    """The object at the path, or an empty one where there is none."""
    found: Any = event
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _promote_alias(event: dict[str, Any], rules: Rules) -> Promotion:
    """An alias is about its `userId` alone, unless the space joins the previous id to it."""
    user = ("users", "user_id", event["userId"])
    alone = _judge(iter([user]), rules)._replace(joins=False)
    if rules.alias_links is None:
        return alone
    previous = ("users", rules.alias_links, event["previousId"])
    # One value as two types is still the same id to whoever sent it: nothing to join.
    if normalise("user_id", event["previousId"]) == normalise("user_id", event["userId"]):
        return alone
    return _judge(iter([user, previous]), rules)


def _sightings(event: dict[str, Any], custom_types: list[str]) -> Iterator[tuple[str, str, Any]]:
    """Every (collection, type, value) as sent, position after position."""
    is_group = event["type"] == "group"
    context = inner(event, "context")
    context_traits = inner(context, "traits")
    properties = inner(event, "properties")
    # Those of a group call describe the account.
    traits = {} if is_group else inner(event, "traits")

    yield "users", "user_id", event.get("userId")
    yield "users", "anonymous_id", event.get("anonymousId")
    for place in (traits, context_traits, properties):
        yield "users", "email", place.get("email")
    device = inner(context, "device")
    system = device.get("type")
    if system in ("android", "ios"):
        yield "users", f"{system}.id", device.get("id")
        if device.get("adTrackingEnabled") is True:
            yield "users", f"{system}.idfa", device.get("advertisingId")
        yield "users", f"{system}.push_token", device.get("token")
    yield (
        "users",
        "ga_client_id",
        inner(context, "integrations", "Google Analytics").get("clientId"),
    )
    yield "accounts", "group_id", (event if is_group else context).get("groupId")
    for type_ in custom_types:
        for place in (traits, properties, context_traits):
            for key in _spellings(type_):
                yield "users", type_, place.get(key)
    yield from _external_ids(
        context.get("externalIds"), {"users", "accounts"} if is_group else {"users"}
    )


def _spellings(type_: str) -> list[str]:
    """`app_id` is read as `app_id` and as `appId`."""
    first, *others = type_.split("_")
    camel = first + "".join(word[:1].upper() + word[1:] for word in others)
    return [type_] if camel == type_ else [type_, camel]


def _external_ids(listed: Any, collections: set[str]) -> Iterator[tuple[str, str, Any]]:
    """The complete entries of the collections that count on this call."""
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, dict):
            continue
        complete = all(
            entry.get(key) is not None for key in ("id", "type", "collection", "encoding")
        )
        if complete and isinstance(entry["type"], str) and entry["collection"] in collections:
            yield entry["collection"], entry["type"], entry["id"]


def _judge(sightings: Iterator[tuple[str, str, Any]], rules: Rules) -> Promotion:
    """Sorts the sightings into identifiers by priority and position, and drops."""
    kept: dict[Identifier, None] = {}
    drops: dict[Drop, None] = {}
    for collection, type_, raw in sightings:
        if raw is None:
            continue
        value = normalise(type_, raw, lowercase_email=rules.lowercase_email)
        if value is None or TYPE_NAME.fullmatch(type_) is None or not rules.accepts(type_):
            drops[
                Drop(collection, type_, raw[:256] if isinstance(raw, str) else "", "INVALID_VALUE")
            ] = None
        elif rules.blocks(type_, value):
            drops[Drop(collection, type_, value, "BLOCKED")] = None
        else:
            kept[Identifier(collection, type_, value)] = None
    # The sort is stable, so that position decides within a type.
    ordered = sorted(kept, key=lambda identifier: rules.rank(identifier.type))
    return Promotion(
        users=[identifier for identifier in ordered if identifier.collection == "users"],
        accounts=[identifier for identifier in ordered if identifier.collection == "accounts"],
        drops=list(drops),
    )
