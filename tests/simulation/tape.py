"""Every draw of a run, written down step by step, so that a run can be repeated without some of it.

A draw is known by its site, the line that drew it, and not by its place in a sequence: what is left
out of one step, or of a plan, then leaves all other draws as they were.
"""

from __future__ import annotations

import linecache
import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Choices(Protocol[T_co]):
    """What can be chosen from."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, at: int, /) -> T_co:
        """Returns one of them."""


Draw = bool | int | float | str
CALM_DRAW = 0.999_999
"""In place of a draw that is not on the tape: below it lies every chance of a fault."""
_PASSED_THROUGH = {random.__file__, __file__}
_PASSED_ON = {"happens", "_happens"}
"""Files and functions that draw for whoever calls them."""


@dataclass(slots=True)
class Step:
    """What was drawn in one step of the world."""

    draws: dict[str, list[Draw]] = field(default_factory=dict)
    """By site, in order."""
    delivered: tuple[int, str] | None = None
    """The message: where it stood, its receiver and label."""


@dataclass(slots=True)
class Recording:
    """The draws of a run, or what is left of them."""

    faulty: list[Step] = field(default_factory=list)
    """Steps before everything heals."""
    healing: list[Step] = field(default_factory=list)
    """Steps after; when they are at an end the world goes on in the calmest way."""


class Tape:
    """Records draws, or gives back what was recorded."""

    def __init__(self, recording: Recording | None = None) -> None:
        """Takes what to give back; None: records."""
        self.is_replay = recording is not None
        self.recording = recording or Recording()
        self.is_healed = False
        self.is_silent = False
        """Whether draws are for something that is recorded by itself."""
        self._at = -1
        self._before = self.step = Step()
        """Of the time before the first step, and the present one."""
        self._taken: dict[str, int] = defaultdict(int)

    def next_step(self) -> None:
        """Goes on to the next step; past the last to an empty one."""
        steps = self.recording.healing if self.is_healed else self.recording.faulty
        self._at += 1
        self._taken.clear()
        if self.is_replay:
            self.step = steps[self._at] if self._at < len(steps) else Step()
        else:
            self.step = Step()
            steps.append(self.step)

    def heal(self) -> None:
        """Goes on to the steps after the faults; they may come in several runs."""
        if not self.is_healed:
            self.is_healed, self._at = True, -1

    def put(self, site: str, draw: Draw) -> None:
        """Writes a draw down."""
        self.step.draws.setdefault(site, []).append(draw)

    def take(self, site: str) -> Draw | None:
        """Returns the next draw of a site in this step; None: there is none."""
        draws = self.step.draws.get(site, ())
        at = self._taken[site]
        self._taken[site] = at + 1
        return draws[at] if at < len(draws) else None


class TapedStream(Random):
    """Draws that are recorded, or come from a tape."""

    tape: Tape
    forced: int | None = None
    """The next choice among so many as `forced_of`, decided by whoever knows what it is for."""
    forced_of = 0

    @staticmethod
    def under(name: str, tape: Tape) -> TapedStream:
        """Returns the stream of a name."""
        stream = TapedStream(name)
        stream.tape = tape
        return stream

    def random(self) -> float:
        """Draws from [0, 1)."""
        tape = self.tape
        if tape.is_replay and not tape.is_silent:
            draw = tape.take(site())
            return draw if isinstance(draw, float) else CALM_DRAW
        drawn = super().random()
        if not tape.is_silent:
            tape.put(site(), drawn)
        return drawn

    def choice(self, seq: Choices[T]) -> T:
        """Draws one of several; repeated, the one that looks the same, wherever it stands now."""
        tape = self.tape
        if not len(seq):
            raise IndexError("nothing to choose from")
        if not tape.is_replay:
            at: int = self._randbelow_with_getrandbits(len(seq))  # type: ignore[attr-defined]  # as `Random` draws, so that the schedule is the same
            tape.put(site(), f"{at} {_looks(seq[at])}")
            return seq[at]
        draw = tape.take(site())
        place, _, looks = str(draw or 0).partition(" ")
        same = [at for at in range(len(seq)) if looks and _looks(seq[at]) == looks]
        wanted = int(place)
        return seq[min(same, key=lambda at: abs(at - wanted), default=wanted % len(seq))]

    def _randbelow(self, n: int) -> int:
        """Draws a whole number below n; all other draws come down to this or to `random`."""
        if self.forced is not None and n == self.forced_of:
            forced, self.forced = self.forced, None
            return forced
        tape = self.tape
        if tape.is_replay:
            draw = tape.take(site())
            return draw % n if isinstance(draw, int) else 0
        drawn: int = self._randbelow_with_getrandbits(n)  # type: ignore[attr-defined]  # as `Random` draws, so that the schedule is the same
        if not tape.is_silent:
            tape.put(site(), drawn)
        return drawn


def site() -> str:
    """Returns which line draws, by its function and its text: where it stands may change."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename in _PASSED_THROUGH or frame.f_code.co_name in _PASSED_ON:
        assert frame.f_back is not None
        frame = frame.f_back
    code = frame.f_code
    return _site_at(code.co_filename, frame.f_lineno, code.co_qualname)


@cache
def _site_at(file: str, line: int, function: str) -> str:
    return f"{function}: {linecache.getline(file, line).strip()}"


def _looks(chosen: object) -> str:
    """Tells one choice from another, in few bytes, the same in every run; "" if it cannot."""
    name = getattr(chosen, "name", None)
    if isinstance(name, str):
        return name
    shown = repr(chosen)
    return "" if " at 0x" in shown else blake2b(shown.encode(), digest_size=4).hexdigest()
