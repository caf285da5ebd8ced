"""The identity rules of a space, one version of them, ready to be asked.

Built once per change and asked for every event, so what can be worked out beforehand is, and what
was found out about a value is kept until a bound on entries is reached.
"""

from __future__ import annotations

from copy import copy
from enum import Enum
from typing import TYPE_CHECKING, Final

from unify_grpc.identity.identifiers import (
    BUILT_IN_TYPES,
    GROUP_ID,
    is_type_name,
    lower_a_to_z,
    normalise_value,
)
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.identity.patterns import BlockedPatterns
from unify_grpc.identity.rules_document import (
    TYPES_MAX,
    Blocked,
    Limit,
    RulesError,
    RulesInvalid,
    RulesSettings,
    read_document,
    write_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unify_grpc.identity.identifiers import Identifier

__all__ = ["Limit", "Newness", "Rules", "RulesError", "RulesInvalid", "Verdict"]

VERDICTS_CACHED_MAX: Final = 65_536
"""Per version and space; about 250 bytes each."""
VERDICT_CACHED_CHARS_MAX: Final = 256
UNLISTED_TYPES_CACHED_MAX: Final = 1_000


class Newness(Enum):
    """What is said of a value that identifies somebody, by a type that the space has not met."""

    UNMET = "unmet"


Verdict = tuple[str | None, DropReason | Newness | None]
"""`(normalised, None)`, `(normalised, UNMET)`, `(normalised, BLOCKED)` or `(None, INVALID_VALUE)`.

UNMET is said only by rules that count types: see `Rules.meeting`.
"""

_INVALID: Verdict = (None, DropReason.INVALID_VALUE)


class _TypeFacts:
    """What the rules say of one type, and the verdicts on its values so far."""

    __slots__ = (
        "_exact_chars_max",
        "_exacts",
        "_patterns",
        "accepted",
        "is_met",
        "limit",
        "rank",
        "verdicts",
    )

    def __init__(
        self,
        *,
        rank: tuple[int, str],
        limit: Limit | None,
        accepted: bool,
        is_met: bool,
        exacts: frozenset[str],
        patterns: BlockedPatterns,
    ) -> None:
        self.rank = rank
        self.limit = limit
        self.accepted = accepted
        self.is_met = is_met
        self.verdicts: dict[str, Verdict] = {}
        self._exacts = exacts
        self._exact_chars_max = max(map(len, exacts), default=0)
        self._patterns = patterns

    def blocks(self, normalised: str) -> bool:
        """Whether a normalised value is on the type's blocked list, or on everybody's."""
        if len(normalised) <= self._exact_chars_max and lower_a_to_z(normalised) in self._exacts:
            return True
        return self._patterns.found_in(normalised)


class Rules:
    """One version of a space's identity rules; what it says never changes.

    Two are equal when they are the same version and say the same.
    """

    __slots__ = (
        "_cached_count",
        "_exacts",
        "_known",
        "_patterns",
        "_permanent_count",
        "_settings",
        "accept_new_types",
        "alias_links",
        "custom_types",
        "identifiers_max",
        "listed_types",
        "lowercase_email",
        "merges_max",
        "met_types",
        "searchable_traits",
        "types_room",
        "version",
    )

    def __init__(self, settings: RulesSettings, version: int) -> None:
        """Takes settings as `from_document` reads them; use that instead."""
        self.version = version
        self.identifiers_max = settings.identifiers_max
        self.merges_max = settings.merges_max
        self.accept_new_types = settings.accept_new_types
        self.lowercase_email = settings.lowercase_email
        self.alias_links = settings.alias_links
        self.searchable_traits = settings.searchable_traits
        self.custom_types = tuple(rule.type for rule in settings.identifiers if rule.custom)
        self.listed_types = frozenset(rule.type for rule in settings.identifiers)
        self.met_types: frozenset[str] | None = None
        """Types that were met, listed or not; None: types are not counted, all are as if met."""
        self.types_room = TYPES_MAX
        """How many types can still be met. Without a meaning where types are not counted."""
        self._settings = settings
        self._exacts = _exacts(settings.blocked)
        self._patterns = BlockedPatterns(_patterns(settings.blocked))
        self._cached_count = 0
        self._known = {
            rule.type: _TypeFacts(
                rank=(position, ""),
                limit=rule.limit,
                accepted=True,
                is_met=True,
                exacts=self._exacts | _exacts(rule.blocked),
                patterns=(
                    BlockedPatterns([*_patterns(settings.blocked), *_patterns(rule.blocked)])
                    if _patterns(rule.blocked)
                    else self._patterns
                ),
            )
            for position, rule in enumerate(settings.identifiers)
        }
        for type_name in BUILT_IN_TYPES:
            if type_name not in self._known:
                self._known[type_name] = self._unlisted(type_name)
        self._permanent_count = len(self._known)

    @classmethod
    def from_document(cls, document: Mapping[str, object], version: int) -> Rules:
        """Reads a rules document; a missing key has its default.

        Raises:
            RulesInvalid: with every error in the document.
        """
        return cls(read_document(document), version)

    def promotes_like(self, other: Rules) -> bool:
        """Whether every event has the same identifiers under both, in the same order."""
        return self._settings.promotion == other._settings.promotion

    def meeting(self, met_types: Iterable[str]) -> Rules:
        """These rules in a space that met these types so far, and counts the types it meets.

        A type that is neither listed nor met is then UNMET, and where the space has no room for
        another type it is not accepted. Verdicts that were worked out for known types are kept.
        """
        return copy(self)._meet(frozenset(met_types))  # noqa: SLF001 - a copy of its own

    def _meet(self, met_types: frozenset[str]) -> Rules:
        """Turns a new copy into the rules of a space that met these types."""
        known = self.listed_types | met_types
        kept = {
            type_name: facts
            for type_name, facts in self._known.items()
            if facts.is_met and type_name in known
        }
        self.met_types = met_types
        self.types_room = max(0, TYPES_MAX - len(known))
        self._known = kept
        for type_name in sorted(known - kept.keys()):
            kept[type_name] = self._unlisted(type_name)
        self._permanent_count = len(kept)
        self._cached_count = sum(len(facts.verdicts) for facts in kept.values())
        return self

    def to_document(self) -> dict[str, object]:
        """The document of these rules, every key spelt out; it reads back as equal rules."""
        return write_document(self._settings)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rules):
            return NotImplemented
        return self.version == other.version and self._settings == other._settings

    def __hash__(self) -> int:
        return hash((self.version, self._settings))

    def rank(self, type: str) -> tuple[int, str]:  # noqa: A002  the word of the contract
        """The sort key of a type: listed types by their place, then the others by name."""
        return (self._known.get(type) or self._learn(type)).rank

    def identifier_rank(self, identifier: Identifier) -> tuple[int, str]:
        """`rank` of an identifier's type, for sorting."""
        type_name = identifier[1]
        return (self._known.get(type_name) or self._learn(type_name)).rank

    def limit(self, type: str) -> Limit | None:  # noqa: A002  the word of the contract
        """How many identifiers of a type a profile may have; None for any number."""
        return (self._known.get(type) or self._learn(type)).limit

    def accepts_type(self, type: str) -> bool:  # noqa: A002  the word of the contract
        """Whether a type can identify anybody in this space.

        False for what is no type name and, where new types are switched off, for types that are
        neither listed or met nor have a place of their own in an event: switching off the unknown
        must not silently switch off anonymous ids. Where types are counted and there is no room
        for another one, also for every other type that is neither listed nor met: whoever fills a
        space's table must not switch them off either.
        """
        return (self._known.get(type) or self._learn(type)).accepted

    def verdict(self, type: str, value: object) -> Verdict:  # noqa: A002  contract's word
        """Whether a value found in an event identifies anybody, and its normal form."""
        facts = self._known.get(type) or self._learn(type)
        # Texts only: as keys of a dict 1, 1.0 and True would be the same.
        if isinstance(value, str):
            known = facts.verdicts.get(value)
            if known is not None:
                return known
        return self._judge(facts, type, value)

    def _judge(self, facts: _TypeFacts, type_name: str, value: object) -> Verdict:
        """Works out a verdict, and keeps it when it is about a short text."""
        if not facts.accepted:
            return _INVALID
        normalised = normalise_value(type_name, value, lowercase_email=self.lowercase_email)
        verdict: Verdict
        if normalised is None:
            verdict = _INVALID
        elif facts.blocks(normalised):
            verdict = (normalised, DropReason.BLOCKED)
        else:
            verdict = (normalised, None if facts.is_met else Newness.UNMET)
        if isinstance(value, str) and len(value) <= VERDICT_CACHED_CHARS_MAX:
            if self._cached_count >= VERDICTS_CACHED_MAX:
                self._forget_verdicts()
            self._cached_count += 1
            facts.verdicts[value] = verdict
        return verdict

    def _forget_verdicts(self) -> None:
        for facts in self._known.values():
            facts.verdicts.clear()
        self._cached_count = 0

    def _unlisted(self, type_name: str) -> _TypeFacts:
        """The facts of a type that the document does not list."""
        is_counted = self.met_types is not None
        is_met = self.met_types is None or type_name in self.met_types
        is_built_in = type_name in BUILT_IN_TYPES
        is_welcome = self.accept_new_types or is_built_in or (is_counted and is_met)
        has_room = is_met or is_built_in or self.types_room > 0
        return _TypeFacts(
            rank=(len(self._settings.identifiers), type_name),
            limit=self._settings.others,
            accepted=is_type_name(type_name) and is_welcome and has_room,
            is_met=is_met,
            exacts=self._exacts,
            patterns=self._patterns,
        )

    def _learn(self, type_name: str) -> _TypeFacts:
        """The facts of a type seen for the first time; kept, within a bound."""
        facts = self._unlisted(type_name)
        if facts.accepted:  # the others come from callers and have any length
            if len(self._known) >= self._permanent_count + UNLISTED_TYPES_CACHED_MAX:
                self._forget_verdicts()
                for name in list(self._known)[self._permanent_count :]:
                    del self._known[name]
            self._known[type_name] = facts
        return facts


def _exacts(blocked: Iterable[Blocked]) -> frozenset[str]:
    """The exact entries in the form `verdict` compares: normalised, and A to Z lower-cased."""
    texts = (
        normalise_value(GROUP_ID, entry.text, lowercase_email=False)
        for entry in blocked
        if entry.kind == "exact"
    )
    return frozenset(lower_a_to_z(text) for text in texts if text is not None)


def _patterns(blocked: Iterable[Blocked]) -> list[str]:
    return [entry.text for entry in blocked if entry.kind == "pattern"]
