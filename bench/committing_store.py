"""The store of the yardstick `naive`: what a record changes is on the disk before its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_grpc.storage.store import Store

if TYPE_CHECKING:
    from unify_grpc.machines.tables import Changes


class CommittingStore(Store):
    """Writes a checkpoint after each record, and waits until that is durable."""

    def publish(self, changes: Changes, number: int) -> None:
        """Lets readers see the rows that follow from a record; they are durable then."""
        super().publish(changes, number)
        self.checkpoint()
