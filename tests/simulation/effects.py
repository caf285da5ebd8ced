"""A message takes effect once within the dedupe window, also where rules gave it another anchor."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from tests.simulation.ledger import is_meant
from tests.simulation.violation import require

if TYPE_CHECKING:
    from tests.simulation.ledger import MessageKey
    from tests.simulation.stored import Logs, Stored
    from tests.simulation.traffic import Sent
    from tests.simulation.world import World
    from unify_grpc.identity.identifiers import Identifier


def check_effects(world: World, logs: Logs) -> None:
    """Checks what is stored, and what was told, of each message."""
    window_us = world.plan.dedupe_us
    for key, stored in logs.by_key.items():
        for first, again in combinations(stored, 2):
            gap_us = again.stamp_us - first.stamp_us
            require(gap_us > window_us, f"{key} is stored twice, {gap_us} us apart")
    for key, told in world.ledger.told.items():
        for side in (each.side for each in told):
            known = any(
                is_meant(side, each.stamp_us, window_us) for each in logs.by_key.get(key, ())
            )
            require(known, f"{key} was acked as {side}, and no such event is stored")
    if world.plan.moves_anchors:
        _check_moved(world, logs)


def is_side(world: World, stored: Stored, sent: Sent) -> bool:
    """Whether what is stored is what its rules make of an event that was sent.

    An account's side that is owed is stored as it was promoted for its user's, under earlier ones.
    """
    owes = stored.is_pair and stored.key[0].collection == "accounts"
    first = 1 if owes else stored.rules_version
    for version in range(first, stored.rules_version + 1):
        made = world.control.promoted(sent, version)
        if stored.identifiers in made.sides and made.is_history == stored.is_history:
            return True
    return False


def _check_moved(world: World, logs: Logs) -> None:
    """Of two anchors that an event had under two versions one holds its message.

    The later version asked the earlier one's anchor, and its shard thereby took no more under the
    earlier one. So whichever was stored first, the other was not.
    """
    by_message: dict[str, list[Stored]] = {}
    for stored in logs.events.values():
        if not (stored.is_pair and stored.key[0].collection == "accounts"):
            by_message.setdefault(stored.message_id, []).append(stored)
    for listed in by_message.values():
        for one, other in combinations(sorted(listed, key=lambda each: each.rules_version), 2):
            if one.key == other.key or other.stamp_us - one.stamp_us > world.plan.dedupe_us:
                continue
            asked = _asked_before(world, other)
            require(
                one.rules_version == other.rules_version or one.key[0] not in asked,
                f"{one.key} is stored under {one.key[0].value} by rules {one.rules_version} and "
                f"under {other.key[0].value} by rules {other.rules_version}",
            )


def _asked_before(world: World, stored: Stored) -> set[Identifier]:
    """Returns the anchors that what was stored would have had under each earlier version."""
    control = world.control
    found: list[set[Identifier]] = []
    for sent in _sent_as(world, stored.key, stored):
        made = [control.promoted(sent, each) for each in range(1, stored.rules_version)]
        found.append({each.sides[0][0] for each in made if each.sides})
    return set.intersection(*found) if found else set()


def _sent_as(world: World, key: MessageKey, stored: Stored) -> list[Sent]:
    """Returns the payloads that may have been stored so."""
    traits = msgspec.json.decode(stored.traits) if stored.traits else {}
    return [
        sent
        for sent in world.ledger.sent_as.get(key, ())
        if (sent.type, sent.time_us, dict(sent.traits)) == (stored.type, stored.time_us, traits)
        and is_side(world, stored, sent)
    ]
