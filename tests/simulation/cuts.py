"""Cables that are cut: for some time no message gets from some nodes to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

STEPS = (20, 60, 200)
"""How long a cut lasts, one of these."""
APART_STEPS = 15
"""Between two cuts of a series."""


class Cut(NamedTuple):
    """One direction of a cable, for some time."""

    sender: str | None
    """None: everybody."""
    receiver: str | None
    from_step: int
    until_step: int


class Cuts:
    """All cuts of a world."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.cuts: list[Cut] = []

    def draw(self, names: Sequence[str], step: int) -> str:
        """Cuts something; returns what, for the trace."""
        rng = self.rng
        self.cuts = [cut for cut in self.cuts if cut.until_step > step]
        kind = rng.choice(("one way", "alone", "series"))
        if kind == "one way":
            sender, receiver = rng.sample(names, 2)
            self.cuts.append(Cut(sender, receiver, step, step + rng.choice(STEPS)))
            return f"cut from {sender} to {receiver}"
        if kind == "alone":
            name = rng.choice(names)
            self._leave_alone(name, step, step + rng.choice(STEPS))
            return f"cut around {name}"
        first = rng.sample(names, rng.randint(2, min(4, len(names))))
        healed = rng.sample(range(len(first)), len(first))
        until = step + len(first) * APART_STEPS
        for at, name in enumerate(first):
            begin = step + at * APART_STEPS
            self._leave_alone(name, begin, until + (1 + healed[at]) * APART_STEPS)
        return f"cut around {' then '.join(first)}"

    def is_cut(self, sender: str | None, receiver: str, step: int) -> bool:
        """Whether nothing gets from one to the other now; sender None: a caller."""
        return any(
            cut.from_step <= step < cut.until_step
            and cut.sender in {None, sender}
            and cut.receiver in {None, receiver}
            for cut in self.cuts
        )

    def _leave_alone(self, name: str, step: int, until: int) -> None:
        self.cuts += [Cut(name, None, step, until), Cut(None, name, step, until)]
