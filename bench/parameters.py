"""Parameters of a scenario: each has a small default for the test-suite and a large one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One whole number that a scenario can be run with."""

    name: str
    smoke: int
    """So small that the scenario ends within seconds."""
    real: int
    """What the results in README.md were measured with."""
    text: str

    def value(self, given: int | None, *, is_smoke: bool) -> int:
        """Returns what was given, else the default of the size asked for."""
        if given is not None:
            return given
        return self.smoke if is_smoke else self.real
