"""What else a seed stands for: more spaces, rules that move anchors, short memories, shapes.

All of it is drawn from a stream of its own: where nothing of it happens a plan stays as it was.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.shapes import ORDERED_SHAPES, OTHER_TYPES, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.plan import Plan

ALIAS_LINKS = (None, None, "anonymous_id", "user_id")
SHORT_US = (1_500, 4_000, 10_000)
"""Dedupe windows of 60 to 400 steps; a caller loses patience after 120."""


def widen(plan: Plan) -> Plan:
    """Returns a plan with what its seed draws here."""
    rng = Random(f"spaces {plan.seed}")
    draws = [rng.random() for _ in range(6)]
    if draws[0] < 0.12:
        plan = replace(plan, shape=rng.choice(ORDERED_SHAPES))
    if draws[1] < 0.1:
        plan = replace(plan, aliases=rng.choice((0.1, 0.4)))
        plan = _with_rules(plan, [_linking(each, rng) for each in plan.rules])
    if draws[2] < 0.2:
        plan = moving(plan, rng)
    if draws[3] < 0.12:
        hardware = replace(plan.hardware, clock_jump=0)  # by a day: nothing would be left to see
        plan = replace(plan, dedupe_us=rng.choice(SHORT_US), hardware=hardware)
        if plan.groups:
            # Whose account's side a user's is linked to is told apart by nothing but its life.
            plan = replace(plan, deletions=0)
    elif draws[4] < 0.1:
        plan = replace(plan, replays=True)
    if draws[5] < 0.12:
        plan = _among_others(plan, rng)
    return plan


def _with_rules(plan: Plan, rules: Sequence[dict[str, Any]]) -> Plan:
    return replace(plan, rules=tuple(rules), moves_anchors=True)


def _linking(document: dict[str, Any], rng: Random) -> dict[str, Any]:
    return {**document, "alias_links": rng.choice(ALIAS_LINKS)}


def moving(plan: Plan, rng: Random) -> Plan:
    """Gives each version but the first other priorities, blocked values or types."""
    rules = list(plan.rules)
    versions = rng.choice((3, 4, 5))
    while len(rules) < versions:
        rules.append(rules[-1])
    if rng.random() < 0.4:
        plan = replace(plan, groups=0.3)
    changed = [rules[0] if rng.random() < 0.7 else _without_a_type(rules[0], rng)]
    for document in rules[1:]:
        draw = rng.random()
        if draw < 0.15:
            changed.append(changed[0])
        elif draw < 0.6:
            changed.append(_with_priorities(document, rng))
        elif draw < 0.85:
            changed.append(_blocking(document, rng, plan))
        else:
            changed.append(_without_a_type(document, rng))
    return _with_rules(plan, changed)


def _with_priorities(document: dict[str, Any], rng: Random) -> dict[str, Any]:
    entries = list(document["identifiers"])
    rng.shuffle(entries)
    return {**document, "identifiers": entries}


def _blocking(document: dict[str, Any], rng: Random, plan: Plan) -> dict[str, Any]:
    values = range(max(1, min(3, plan.values)))
    types = ("user_id", *OTHER_TYPES)
    texts = {named(rng.choice(types), rng.choice(values)).value for _ in range(2)}
    if plan.groups:
        texts.add(f"g{rng.choice(values)}")
    return {**document, "blocked": [{"exact": text} for text in sorted(texts)]}


def _without_a_type(document: dict[str, Any], rng: Random) -> dict[str, Any]:
    """Leaves out a type: its values identify nobody till later rules list it again."""
    without = rng.choice(OTHER_TYPES[1:])
    entries = [each for each in document["identifiers"] if each["type"] != without]
    listed = {each["type"] for each in entries}
    domain = [] if "domain" in listed else [{"type": "domain", "limit": None}]
    return {**document, "identifiers": [*entries, *domain], "accept_new_types": False}


def _among_others(plan: Plan, rng: Random) -> Plan:
    """Adds spaces with the same values, and rules, secrets and callers of their own."""
    further = []
    for space in range(2, rng.choice((3, 3, 4))):
        clients = rng.randint(1, 2)
        others = replace(
            plan,
            space=space,
            clients=clients,
            streaming=tuple(rng.random() < 0.4 for _ in range(clients)),
            requests=rng.randint(2, 5),
            groups=rng.choice((0, plan.groups)),
            readers=1,
            deletions=min(plan.deletions, 2),
            rules=plan.rules[::-1],
            replays=False,
            backup=None,
        )
        further.append(others)
    first = replace(plan, clients=min(plan.clients, 2), streaming=plan.streaming[:2])
    return replace(first, further=tuple(further), readers=min(plan.readers, 2), backup=None)
