"""Which owed sides a gateway is about to send: its own sweep must not overtake it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unify_grpc.machines.owed_sides import OwedSide
    from unify_grpc.service.ingest_run import Run


class SidesInHand:
    """Of the requests that are being stored here."""

    def __init__(self) -> None:
        self._ends_us: dict[int, int] = {}
        """By the first stamp of each request, the stamp behind its last one."""
        self._places: set[tuple[int, int]] = set()
        """(shard, log position) of sides that earlier requests stored, and these finish."""

    def take(self, run: Run) -> None:
        """Takes a request's own sides: from now on, for an answer may come long after its mark."""
        self._ends_us[run.stamps.start] = run.stamps.stop

    def add(self, shard: int, position: int) -> None:
        """Takes a side that was found owed."""
        self._places.add((shard, position))

    def release(self, run: Run, places: list[tuple[int, int]]) -> None:
        """Gives up a request's own sides, and those that it found owed."""
        self._ends_us.pop(run.stamps.start, None)
        self._places.difference_update(places)

    def holds(self, shard: int, side: OwedSide) -> bool:
        """Whether a listed side is in hand.

        Stamps of this gateway are given once; one that another gave, too, is swept a little later.
        """
        return (shard, side.position) in self._places or any(
            start <= side.stamp_us < end for start, end in self._ends_us.items()
        )
