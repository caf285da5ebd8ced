"""Shapes of traffic that need an order of their own, and alias calls.

`one_in_all`: one identifier stands in every event. `chains_back` and `stars_late`: what is linked
was founded alone before, the last of a chain is linked first and a star's centre comes last, so
that every merge moves all that was merged before into an older profile. `edges`: exactly as many
identifiers of a type as its limit allows, and one more, from all callers at once.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from unify_grpc.identity.identifiers import USER_ID, USERS, Identifier

if TYPE_CHECKING:
    from tests.simulation.plan import Plan

ORDERED_SHAPES = ("one_in_all", "chains_back", "stars_late", "edges")
CHAIN = 6
"""Identifiers in a chain or star."""
OTHER_TYPES = ("email", "w", "x")
"""Of users, but for user ids."""


class Shapes:
    """One client's part in a shape; it draws from a stream of its own."""

    def __init__(self, plan: Plan, client: int) -> None:
        self.plan = plan
        self.client = client
        self.rng = Random(f"spaces shapes {plan.seed} {client} {plan.space}")
        self.edge = Random(f"spaces edge {plan.seed}").choice(OTHER_TYPES)
        """The type whose limit is met at its edge."""
        self._count = 0

    def identifiers(self) -> list[Identifier]:
        """Returns what the next event names, in no order."""
        self._count += 1
        match self.plan.shape:
            case "one_in_all":
                return self._one_in_all()
            case "chains_back":
                return self._linked_late(is_star=False)
            case "stars_late":
                return self._linked_late(is_star=True)
        return self._at_the_edge()

    def is_alias(self) -> bool:
        """Whether the next event is an alias call."""
        return self.plan.aliases > 0 and self.rng.random() < self.plan.aliases

    def alias(self) -> tuple[Identifier, str]:
        """Returns an alias's user id and previous id."""
        values = self.plan.values
        user_id = named(USER_ID, self.rng.randrange(values))
        # A user id or an anonymous id, as the rules see it; sometimes its own.
        return user_id, named(USER_ID, self.rng.randrange(values)).value

    def _one_in_all(self) -> list[Identifier]:
        rng = self.rng
        others = [
            named(rng.choice(OTHER_TYPES), rng.randrange(self.plan.values))
            for _ in range(rng.choice((0, 1, 1, 2)))
        ]
        return [named("w", 0), *others]

    def _linked_late(self, *, is_star: bool) -> list[Identifier]:
        """Founds one after another, then links backwards; each client from a place of its own."""
        at = (self._count - 1 + self.client) % (2 * CHAIN)
        if at < CHAIN:
            return [named("x", at)]
        back = 2 * CHAIN - 1 - at
        other = named("user_id", 0) if is_star else named("x", back + 1)
        return [named("x", back), other]

    def _at_the_edge(self) -> list[Identifier]:
        listed = {entry["type"]: entry["limit"] for entry in self.plan.rules[0]["identifiers"]}
        count = min(listed.get(self.edge, CHAIN), CHAIN) + 1
        return [named("user_id", 0), named(self.edge, self.rng.randrange(count))]


def named(type_: str, number: int) -> Identifier:
    """Returns a user's identifier of a type, by its number."""
    value = f"u{number}@example.com" if type_ == "email" else f"{type_[0]}{number}"
    return Identifier(USERS, type_, value)
