"""The document a space's rules are written in: read with every error at once, and written back.

The reader goes on after an error, so that whoever edits fifty types by hand sees all mistakes
together instead of one per attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from unify_grpc.identity.identifiers import (
    ANONYMOUS_ID,
    EMAIL,
    GROUP_ID,
    GROUP_ID_CHARS_MAX,
    USER_ID,
    is_type_name,
)
from unify_grpc.identity.patterns import pattern_error

TYPES_MAX: Final = 200
PATTERNS_PER_LIST_MAX: Final = 50
PATTERN_CHARS_MAX: Final = 256
EXACTS_PER_LIST_MAX: Final = 1000
LIMIT_COUNT_MAX: Final = 1_000_000
CAP_MAX: Final = 1_000_000
WINDOW_SECONDS_MAX: Final = 100 * 365 * 86_400
SEARCHABLE_TRAITS_MAX: Final = 20
TRAIT_NAME_CHARS_MAX: Final = 128

_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
WINDOWS_US: Final[Mapping[str, int | None]] = {
    "ever": None,
    "daily": _DAY_US,
    "weekly": 7 * _DAY_US,
    "monthly": 30 * _DAY_US,
    "annually": 365 * _DAY_US,
}
_WINDOW_NAMES = {window_us: name for name, window_us in WINDOWS_US.items()}

_KEYS = frozenset({
    "identifiers", "others", "blocked", "caps", "accept_new_types", "lowercase_email",
    "alias_links", "searchable_traits",
})  # fmt: skip
_IDENTIFIER_KEYS = frozenset({"type", "limit", "window", "blocked", "custom"})


class Limit(NamedTuple):
    """At most `count` identifiers of a type, within `window_us` microseconds; None means ever."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of a limit
    window_us: int | None


class Blocked(NamedTuple):
    """One entry of a blocked list, as written; `kind` is `exact` or `pattern`."""

    kind: str
    text: str


class RulesError(NamedTuple):
    """One thing wrong in a document: where, as `identifiers[2].limit`, and what."""

    path: str
    text: str


class RulesInvalid(Exception):  # noqa: N818  a refusal of a document, named as callers know it
    """A rules document is refused.

    Attributes:
        errors: everything that is wrong with it; never empty.
    """

    def __init__(self, errors: Sequence[RulesError]) -> None:
        super().__init__(tuple(errors))
        self.errors = list(errors)

    def __str__(self) -> str:
        return "; ".join(f"{error.path or 'document'}: {error.text}" for error in self.errors)


@dataclass(frozen=True, slots=True)
class TypeRule:
    """A type that stands in the table by itself; its place in the table is its priority."""

    type: str
    limit: Limit | None
    blocked: tuple[Blocked, ...] = ()
    custom: bool = False
    """Also promoted from traits and properties, under its name in two spellings."""


DEFAULT_LIMIT: Final = Limit(5, None)
DEFAULT_LIMITS: Final[Mapping[str, Limit]] = {USER_ID: Limit(1, None)}
DEFAULT_IDENTIFIERS: Final = (TypeRule(USER_ID, Limit(1, None)), TypeRule(EMAIL, DEFAULT_LIMIT))
DEFAULT_BLOCKED: Final = (
    Blocked("pattern", "^[0-]*$"),
    *(
        Blocked("exact", text)
        for text in ("-1", "null", "anonymous", "undefined", "nan", "[object Object]")
    ),
)
DEFAULT_SEARCHABLE_TRAITS: Final = ("name", "first_name", "last_name", "company")


@dataclass(frozen=True, slots=True)
class RulesSettings:
    """What a document says, with its defaults filled in."""

    identifiers: tuple[TypeRule, ...] = DEFAULT_IDENTIFIERS
    others: Limit | None = DEFAULT_LIMIT
    blocked: tuple[Blocked, ...] = DEFAULT_BLOCKED
    identifiers_max: int = 1000
    merges_max: int = 100
    accept_new_types: bool = True
    lowercase_email: bool = True
    alias_links: str | None = None
    searchable_traits: tuple[str, ...] = DEFAULT_SEARCHABLE_TRAITS

    @property
    def promotion(self) -> RulesSettings:
        """The same without what has no part in promotion: limits, caps, searchable traits."""
        identifiers = tuple(replace(rule, limit=None) for rule in self.identifiers)
        return replace(
            self,
            identifiers=identifiers,
            others=None,
            identifiers_max=0,
            merges_max=0,
            searchable_traits=(),
        )


def read_document(document: object) -> RulesSettings:
    """Reads a rules document; a missing key has its default.

    Raises:
        RulesInvalid: with every error in it.
    """
    reader = _Reader()
    settings = reader.settings(document)
    if reader.errors:
        raise RulesInvalid(reader.errors)
    return settings


def write_document(settings: RulesSettings) -> dict[str, object]:
    """Writes settings as a document that spells out every key and reads back as the same."""
    return {
        "identifiers": [
            {
                "type": rule.type,
                **_write_limit(rule.limit),
                "blocked": _write_blocked(rule.blocked),
                "custom": rule.custom,
            }
            for rule in settings.identifiers
        ],
        "others": _write_limit(settings.others),
        "blocked": _write_blocked(settings.blocked),
        "caps": {"identifiers": settings.identifiers_max, "merges": settings.merges_max},
        "accept_new_types": settings.accept_new_types,
        "lowercase_email": settings.lowercase_email,
        "alias_links": settings.alias_links,
        "searchable_traits": list(settings.searchable_traits),
    }


def _write_blocked(entries: tuple[Blocked, ...]) -> list[dict[str, str]]:
    return [{entry.kind: entry.text} for entry in entries]


def _write_limit(limit: Limit | None) -> dict[str, object]:
    if limit is None:
        return {"limit": None, "window": "ever"}
    if limit.window_us is None or limit.window_us in _WINDOW_NAMES:
        return {"limit": limit.count, "window": _WINDOW_NAMES[limit.window_us]}
    seconds, rest_us = divmod(limit.window_us, _SECOND_US)
    return {"limit": limit.count, "window": limit.window_us / _SECOND_US if rest_us else seconds}


class _Reader:
    """Reads one document and keeps its errors; what cannot be read yields the default."""

    def __init__(self) -> None:
        self.errors: list[RulesError] = []

    def settings(self, document: object) -> RulesSettings:
        """The whole document."""
        fields = self._object("", document, _KEYS)
        default = RulesSettings()
        caps = self._object("caps", fields.get("caps", {}), frozenset({"identifiers", "merges"}))
        others = self._object("others", fields.get("others", {}), frozenset({"limit", "window"}))
        return RulesSettings(
            identifiers=self._identifiers(fields),
            others=self._limit("others", others, DEFAULT_LIMIT),
            blocked=self._blocked("blocked", fields.get("blocked", DEFAULT_BLOCKED)),
            identifiers_max=self._integer(
                "caps.identifiers", caps.get("identifiers", default.identifiers_max), 1, CAP_MAX
            ),
            merges_max=self._integer(
                "caps.merges", caps.get("merges", default.merges_max), 0, CAP_MAX
            ),
            accept_new_types=self._boolean("accept_new_types", fields, default=True),
            lowercase_email=self._boolean("lowercase_email", fields, default=True),
            alias_links=self._alias_links(fields.get("alias_links")),
            searchable_traits=self._searchable_traits(
                fields.get("searchable_traits", DEFAULT_SEARCHABLE_TRAITS)
            ),
        )

    def _wrong(self, path: str, text: str) -> None:
        self.errors.append(RulesError(path, text))

    def _object(self, path: str, value: object, keys: frozenset[str]) -> Mapping[str, object]:
        if not isinstance(value, Mapping):
            self._wrong(path, "must be an object")
            return {}
        known: dict[str, object] = {}
        for key, field in value.items():
            if isinstance(key, str) and key in keys:
                known[key] = field
            else:
                self._wrong(f"{path}.{key}" if path else str(key), "unknown key")
        return known

    def _list(self, path: str, value: object) -> Sequence[object]:
        if isinstance(value, list | tuple):
            return value
        self._wrong(path, "must be a list")
        return ()

    def _boolean(self, path: str, fields: Mapping[str, object], *, default: bool) -> bool:
        value = fields.get(path.rpartition(".")[2], default)
        if isinstance(value, bool):
            return value
        self._wrong(path, "must be true or false")
        return default

    def _integer(self, path: str, value: object, least: int, most: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self._wrong(path, f"must be a whole number from {least} to {most}")
        return least

    def _identifiers(self, fields: Mapping[str, object]) -> tuple[TypeRule, ...]:
        if "identifiers" not in fields:
            return DEFAULT_IDENTIFIERS
        entries = self._list("identifiers", fields["identifiers"])
        if len(entries) > TYPES_MAX:
            self._wrong("identifiers", f"at most {TYPES_MAX} types")
        rules: dict[str, TypeRule] = {}
        for position, entry in enumerate(entries[:TYPES_MAX]):
            path = f"identifiers[{position}]"
            errors_before = len(self.errors)
            rule = self._identifier(path, entry)
            if rule.type in rules and len(self.errors) == errors_before:
                self._wrong(f"{path}.type", "the type is listed already")
            rules.setdefault(rule.type, rule)
        return tuple(rules.values())

    def _identifier(self, path: str, entry: object) -> TypeRule:
        is_object = isinstance(entry, Mapping)
        fields = self._object(path, entry, _IDENTIFIER_KEYS)
        name = fields.get("type")
        if not isinstance(name, str) or not is_type_name(name):
            if is_object:
                self._wrong(f"{path}.type", "must be 1 to 64 of a-z, 0-9, '_', '.', '-'")
            name = ""
        custom = self._boolean(f"{path}.custom", fields, default=False)
        if custom and name == GROUP_ID:
            # From a person's traits it would join all people of an account.
            self._wrong(f"{path}.custom", "group_id names accounts and cannot be custom")
        return TypeRule(
            type=name,
            limit=self._limit(path, fields, DEFAULT_LIMITS.get(name, DEFAULT_LIMIT)),
            blocked=self._blocked(f"{path}.blocked", fields.get("blocked", ())),
            custom=custom,
        )

    def _limit(self, path: str, fields: Mapping[str, object], default: Limit) -> Limit | None:
        window_us = self._window_us(f"{path}.window", fields.get("window", "ever"))
        count = fields.get("limit", default.count)
        if count is None:
            return None
        if isinstance(count, bool) or not isinstance(count, int):
            self._wrong(f"{path}.limit", "must be a whole number, or null for none")
            return default
        return Limit(self._integer(f"{path}.limit", count, 0, LIMIT_COUNT_MAX), window_us)

    def _window_us(self, path: str, value: object) -> int | None:
        if isinstance(value, str) and value in WINDOWS_US:
            return WINDOWS_US[value]
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and 0 < value <= WINDOW_SECONDS_MAX
            and (window_us := round(value * _SECOND_US)) > 0
        ):
            return window_us
        self._wrong(
            path, f"must be one of {', '.join(WINDOWS_US)}, or seconds up to {WINDOW_SECONDS_MAX}"
        )
        return None

    def _blocked(self, path: str, value: object) -> tuple[Blocked, ...]:
        if value is DEFAULT_BLOCKED:
            return DEFAULT_BLOCKED
        entries = self._list(path, value)
        blocked: list[Blocked] = []
        for position, entry in enumerate(entries):
            read = self._blocked_entry(f"{path}[{position}]", entry)
            if read is not None:
                blocked.append(read)
        for kind, most in (("pattern", PATTERNS_PER_LIST_MAX), ("exact", EXACTS_PER_LIST_MAX)):
            if sum(entry.kind == kind for entry in blocked) > most:
                self._wrong(path, f"at most {most} entries of kind {kind}")
        return tuple(blocked)

    def _blocked_entry(self, path: str, entry: object) -> Blocked | None:
        errors_before = len(self.errors)
        fields = self._object(path, entry, frozenset({"exact", "pattern"}))
        if len(fields) != 1:
            if len(self.errors) == errors_before:
                self._wrong(path, "must have either 'exact' or 'pattern'")
            return None
        kind, text = next(iter(fields.items()))
        chars_max = PATTERN_CHARS_MAX if kind == "pattern" else GROUP_ID_CHARS_MAX
        if not isinstance(text, str) or len(text) > chars_max or not _is_unicode(text):
            self._wrong(f"{path}.{kind}", f"must be a text of at most {chars_max} characters")
            return None
        if kind == "pattern" and (reason := pattern_error(text)) is not None:
            self._wrong(f"{path}.pattern", f"is not an RE2 pattern: {reason}")
            return None
        return Blocked(kind, text)

    def _alias_links(self, value: object) -> str | None:
        if value is None or value in (ANONYMOUS_ID, USER_ID):
            return None if value is None else str(value)
        self._wrong("alias_links", f"must be null, '{ANONYMOUS_ID}' or '{USER_ID}'")
        return None

    def _searchable_traits(self, value: object) -> tuple[str, ...]:
        path = "searchable_traits"
        names: dict[str, None] = {}
        for position, name in enumerate(self._list(path, value)):
            if not isinstance(name, str) or not 0 < len(name) <= TRAIT_NAME_CHARS_MAX:
                self._wrong(
                    f"{path}[{position}]",
                    f"must be a trait's name of 1 to {TRAIT_NAME_CHARS_MAX} characters",
                )
            elif name in names:
                self._wrong(f"{path}[{position}]", "the trait is listed already")
            else:
                names[name] = None
        if len(names) > SEARCHABLE_TRAITS_MAX:
            self._wrong(path, f"at most {SEARCHABLE_TRAITS_MAX} traits")
        return tuple(names)


def _is_unicode(text: str) -> bool:
    """Whether a text has no unpaired surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
