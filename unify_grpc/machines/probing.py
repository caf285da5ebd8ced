"""Asking anchors that an event had under earlier rules whether they hold its message.

A change of rules can give an event another anchor, and a message is known by its anchor. So for a
dedupe window after such a change the gateway first asks the anchors that an event would have had,
by frames of their own kind in an ordinary batch: it names the new version, which the asked shard
thereby adopts, so nothing promoted under the old one is stored there afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from unify_grpc.identity.events import ALIAS, ClientEvent
from unify_grpc.identity.identifiers import ACCOUNTS
from unify_grpc.identity.promotion import IDENTIFIERS_PER_EVENT_MAX, promote
from unify_grpc.machines.batch import (
    FLAG_ACCOUNT_SIDE,
    FLAG_PROBE,
    TYPE_CODES,
    Body,
    encode_body,
    pack_frame,
)
from unify_grpc.machines.framing import EarlierRules, alias_anchor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unify_grpc.identity.identifiers import Identifier
    from unify_grpc.identity.rules import Rules
    from unify_grpc.machines.framing import SpaceView

NOT_HELD: Final = 0x7F
"""In place of an event's status: the anchor does not hold the message."""


class Probe(NamedTuple):
    """One question to an anchor."""

    collection: str
    key: bytes
    frame: bytes


def earlier_rules(
    newest: Rules, before: Iterable[tuple[Rules, int]], *, known_us: int
) -> tuple[EarlierRules, ...]:
    """Returns the rules under which messages may be known by other anchors than under the newest.

    Of those that promote alike only the last counts.

    Args:
        newest: that hold.
        before: those that held, the newest first, and when each was replaced.
        known_us: for how long after that a message stored under them may still be known: as long
            as messages are recognised, and as gateways may go by rules that were replaced.
    """
    earlier: list[EarlierRules] = []
    for rules, replaced_us in before:
        if not any(rules.promotes_like(each) for each in (newest, *(e.rules for e in earlier))):
            earlier.append(EarlierRules(rules, replaced_us + known_us))
    return tuple(earlier)


def probes_of(
    event: ClientEvent,
    message_id: str,
    space: SpaceView,
    *,
    present: Identifier | None,
    stamp_us: int,
    source: int,
) -> list[Probe]:
    """Returns the anchors to ask before an event is stored; none if no rules moved it.

    Args:
        event: checked already.
        message_id: its own.
        space: with the rules that hold and those that held.
        present: what it is stored under first by the rules that hold; None if they refuse it.
        stamp_us: of this attempt.
        source: number of the source that sent it.
    """
    asked: dict[Identifier, None] = {}
    for earlier in space.earlier:
        anchor = _anchor(event, earlier.rules) if stamp_us < earlier.until_us else None
        if anchor is not None and anchor != present:
            asked[anchor] = None
    return [
        _probe(anchor, event, message_id, space, stamp_us=stamp_us, source=source)
        for anchor in asked
    ]


def _anchor(event: ClientEvent, rules: Rules) -> Identifier | None:
    """Returns what an event is stored under first: its user's anchor, if it names a user."""
    promotion = promote(event, rules)
    if len(promotion.users) + len(promotion.accounts) > IDENTIFIERS_PER_EVENT_MAX:
        return None  # refused then
    users = promotion.users
    if event.type == ALIAS and not users:
        users = alias_anchor(event, rules)
    sides = users or promotion.accounts
    return sides[0] if sides else None


def _probe(
    anchor: Identifier,
    event: ClientEvent,
    message_id: str,
    space: SpaceView,
    *,
    stamp_us: int,
    source: int,
) -> Probe:
    key, strings = space.pack(anchor)
    frame = pack_frame(
        type_=TYPE_CODES[event.type],
        flags=FLAG_PROBE | (FLAG_ACCOUNT_SIDE if anchor.collection == ACCOUNTS else 0),
        space=space.number,
        source=source,
        time_us=0,
        stamp_us=stamp_us,
        stream=0,
        mark=space.marks.mark(message_id),
        keys=[key],
        strings=strings,
        body=encode_body(Body(message_id)),
    )
    return Probe(anchor.collection, key, frame)
