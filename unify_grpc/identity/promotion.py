"""From an event to the identifiers in it.

Each collection by itself. Identifiers are gathered in the order of the table of identifier types
and of the places named in its rows, which is their position; the space's priorities then sort
them, and position breaks ties.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from unify_grpc.identity.events import ALIAS, GROUP, ClientEvent
from unify_grpc.identity.identifiers import (
    ACCOUNTS,
    ANONYMOUS_ID,
    BUILT_IN_TYPES,
    COLLECTIONS,
    DEVICE_TYPES,
    EMAIL,
    GA_CLIENT_ID,
    GROUP_ID,
    USER_ID,
    USERS,
    Identifier,
)
from unify_grpc.identity.outcomes import DropReason, EventRejected, RejectionReason

if TYPE_CHECKING:
    from unify_grpc.identity.rules import Rules

IDENTIFIERS_PER_EVENT_MAX: Final = 10
DROPS_PER_EVENT_MAX: Final = 50
DROPPED_VALUE_CHARS_MAX: Final = 256
DROPPED_TYPE_CHARS_MAX: Final = 64

_NOTHING: Final[dict[str, Any]] = {}
_new_identifier = tuple.__new__
_new_promotion = tuple.__new__
_EXTERNAL_ID_FIELDS = ("id", "type", "collection", "encoding")


class PromotionDrop(NamedTuple):
    """A value that stood where identifiers stand and is none."""

    collection: str
    type: str
    value: str
    """The text as promoted or, if that is not possible, as sent, cut to 256 characters; empty
    for anything but a text."""
    reason: DropReason
    """BLOCKED or INVALID_VALUE."""


class Promotion(NamedTuple):
    """The identifiers of one event, each once, by priority and position; the first is the anchor.

    `users` and `accounts` are both empty when nothing in the event identifies anybody.
    """

    users: tuple[Identifier, ...]
    accounts: tuple[Identifier, ...]
    drops: tuple[PromotionDrop, ...]
    new_types: tuple[str, ...] = ()
    """Types of these identifiers that the space had not met, in the order they were found.

    The promotion holds once the space has met them all; if it cannot, promote again under rules
    that say so. Empty under rules that count no types.
    """


class _Gathering:
    """The identifiers of one event while they are gathered."""

    __slots__ = ("accounts", "drops", "new_types", "rules", "users")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.users: list[Identifier] = []
        self.accounts: list[Identifier] = []
        self.drops: dict[PromotionDrop, None] = {}
        self.new_types: tuple[str, ...] = ()

    def add(self, collection: str, type_name: str, value: object) -> None:
        """Judges one value found in the event; None and absent are the same, and nothing."""
        if value is None:
            return
        normalised, reason = self.rules.verdict(type_name, value)
        if reason is not None:  # hot path: nothing more is asked of what is plainly fine
            if isinstance(reason, DropReason):
                shown = _text(value) if normalised is None else normalised
                self._drop(collection, type_name, shown, reason)
                return
            if not self._welcomes(type_name):
                self._drop(collection, type_name, _text(value), DropReason.INVALID_VALUE)
                return
        assert normalised is not None
        kept = self.users if collection == USERS else self.accounts
        identifier = _new_identifier(Identifier, (collection, type_name, normalised))
        if not kept or identifier not in kept:
            kept.append(identifier)

    def _welcomes(self, type_name: str) -> bool:
        """Whether the space has room for a type it has not met, after the event's earlier ones."""
        if type_name not in self.new_types:
            is_built_in = type_name in BUILT_IN_TYPES
            if not is_built_in and len(self.new_types) >= self.rules.types_room:
                return False
            self.new_types += (type_name,)
        return True

    def _drop(self, collection: str, type_name: str, text: str, reason: DropReason) -> None:
        """Notes a value that is left out, each once, up to a number that only abuse reaches."""
        shown = text[:DROPPED_VALUE_CHARS_MAX]
        drop = PromotionDrop(collection, type_name[:DROPPED_TYPE_CHARS_MAX], shown, reason)
        if len(self.drops) < DROPS_PER_EVENT_MAX:
            self.drops[drop] = None

    def finish(self) -> Promotion:
        """Sorts by priority; sorting is stable, so position breaks ties."""
        users, accounts = self.users, self.accounts
        if len(users) > 1:
            users.sort(key=self.rules.identifier_rank)
        if len(accounts) > 1:
            accounts.sort(key=self.rules.identifier_rank)
        found = (tuple(users), tuple(accounts), tuple(self.drops), self.new_types)
        return _new_promotion(Promotion, found)


def promote(event: ClientEvent, rules: Rules) -> Promotion:
    """Finds an event's identifiers under a space's rules. Odd payloads are skipped, never raised.

    - A `group` call's top-level traits describe the account, so no person is promoted from them.
      Its account side is its group id and its external ids of collection accounts. Custom types
      are types of people: a telephone number in an account's traits is its switchboard's, and
      would join every account behind it.
    - Any other call's account side is `context.groupId` alone.
    - An `alias` promotes nothing, unless the rules link aliases: then its user id and previous id,
      and nothing else of it. Where the two are equal it still promotes nothing.
    - An external id that lacks one of its four fields is not one, and is passed over; so is one of
      collection accounts outside of a group call.
    """
    gathering = _Gathering(rules)
    kind = event.type
    if kind == ALIAS:
        return _promote_alias(event, gathering)
    add = gathering.add
    # Hot path: most places are empty, and a test is cheaper than a call.
    if (user_id := event.user_id) is not None:
        add(USERS, USER_ID, user_id)
    if (anonymous_id := event.anonymous_id) is not None:
        add(USERS, ANONYMOUS_ID, anonymous_id)
    context = event.context or _NOTHING
    properties = event.properties or _NOTHING
    traits = _NOTHING if kind == GROUP else event.traits or _NOTHING
    context_traits = context.get("traits")
    if not isinstance(context_traits, dict):
        context_traits = _NOTHING
    for place in (traits, context_traits, properties):
        if place and (email := place.get(EMAIL)) is not None:
            add(USERS, EMAIL, email)
    if (device := context.get("device")) is not None:
        _add_device(device, gathering)
    if (integrations := context.get("integrations")) is not None:
        _add_integrations(integrations, gathering)
    group_id = event.group_id if kind == GROUP else context.get("groupId")
    if group_id is not None:
        add(ACCOUNTS, GROUP_ID, group_id)
    if rules.custom_types:
        _add_custom((traits, properties, context_traits), gathering)
    for entries in (event.external_ids, context.get("externalIds")):
        if entries:
            _add_external_ids(entries, gathering, is_group=kind == GROUP)
    return gathering.finish()


def check_promotion(promotion: Promotion) -> None:
    """Refuses an event of more than 10 identifiers, people's and accounts' together.

    Raises:
        EventRejected: TOO_MANY_IDENTIFIERS. Finding none is left to the caller: an alias may.
    """
    if len(promotion.users) + len(promotion.accounts) > IDENTIFIERS_PER_EVENT_MAX:
        raise EventRejected(RejectionReason.TOO_MANY_IDENTIFIERS)


def _promote_alias(event: ClientEvent, gathering: _Gathering) -> Promotion:
    rules = gathering.rules
    if rules.alias_links is None:
        return gathering.finish()
    user_id, _ = rules.verdict(USER_ID, event.user_id)
    previous_id, _ = rules.verdict(rules.alias_links, event.previous_id)
    if user_id is None or user_id != previous_id:
        gathering.add(USERS, USER_ID, event.user_id)
        gathering.add(USERS, rules.alias_links, event.previous_id)
    return gathering.finish()


def _add_device(device: object, gathering: _Gathering) -> None:
    """The ids of the telephone, when it says of which platform it is."""
    if not isinstance(device, dict):
        return
    platform = device.get("type")
    types = DEVICE_TYPES.get(platform) if isinstance(platform, str) else None
    if types is None:
        return
    id_type, advertising_type, token_type = types
    gathering.add(USERS, id_type, device.get("id"))
    if device.get("adTrackingEnabled") is True:
        gathering.add(USERS, advertising_type, device.get("advertisingId"))
    gathering.add(USERS, token_type, device.get("token"))


def _add_integrations(integrations: object, gathering: _Gathering) -> None:
    analytics = integrations.get("Google Analytics") if isinstance(integrations, dict) else None
    if isinstance(analytics, dict):
        gathering.add(USERS, GA_CLIENT_ID, analytics.get("clientId"))


def _add_custom(places: tuple[dict[str, Any], ...], gathering: _Gathering) -> None:
    for type_name in gathering.rules.custom_types:
        for place in places:
            if place:
                for key in _spellings(type_name):
                    gathering.add(USERS, type_name, place.get(key))


def _add_external_ids(entries: object, gathering: _Gathering, *, is_group: bool) -> None:
    if not isinstance(entries, list | tuple):
        return
    for entry in entries:
        value, type_name, collection, encoding = _fields(entry)
        if value is None or not (
            isinstance(type_name, str) and isinstance(collection, str) and encoding
        ):
            continue
        if not type_name or not collection or (collection == ACCOUNTS and not is_group):
            continue
        if collection in COLLECTIONS:
            gathering.add(USERS if collection == USERS else ACCOUNTS, type_name, value)


def _fields(entry: Any) -> tuple[object, ...]:
    if isinstance(entry, dict):
        return tuple(entry.get(field) for field in _EXTERNAL_ID_FIELDS)
    return tuple(getattr(entry, field, None) for field in _EXTERNAL_ID_FIELDS)


def custom_keys(rules: Rules) -> frozenset[str]:
    """Returns the keys under which payloads may hold identifiers of custom types."""
    return frozenset(key for each in rules.custom_types for key in _spellings(each))


@lru_cache(maxsize=1024)
def _spellings(type_name: str) -> tuple[str, ...]:
    """The keys a custom type stands under: `app_id` and `appId`."""
    first, *rest = type_name.split("_")
    camel = first + "".join(part[:1].upper() + part[1:] for part in rest)
    return (type_name,) if camel == type_name else (type_name, camel)


def _text(value: object) -> str:
    """A value for show: unpaired surrogates, which no answer can carry, become `?`."""
    if not isinstance(value, str):
        return ""
    return value[:DROPPED_VALUE_CHARS_MAX].encode(errors="replace").decode()
