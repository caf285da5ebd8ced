"""What a reader sees of a store: its published rows, held still."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING

from unify_grpc.machines.row_names import row_name
from unify_grpc.storage.environments import DAMAGED_FILE
from unify_grpc.storage.errors import StorageCorruptError
from unify_grpc.storage.records import unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import lmdb

    from unify_grpc.storage.damage import Damage

Overlay = dict[bytes, bytes | None]
"""Rows that no checkpoint has written yet; None: deleted. Keys are only ever added."""


class OverlayKeys:
    """The keys of an overlay by table, in order.

    Brought up to date when somebody asks for a list, so that the writer does nothing for it: a
    dict keeps the order of insertion, hence what is new stands at its end.
    """

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self._met_count = 0
        self._tables: dict[int, list[bytes]] = {}
        self._unsorted: set[int] = set()

    def under(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yields the keys of a prefix in order, from `start` on; while the overlay is held still.

        Args:
            prefix: at least the byte that names the table.
            start: not before the prefix.
        """
        for key in islice(self.overlay, self._met_count, None):
            self._tables.setdefault(key[0], []).append(key)
            self._unsorted.add(key[0])
        self._met_count = len(self.overlay)
        keys = self._tables.get(prefix[0], [])
        if prefix[0] in self._unsorted:
            self._unsorted.discard(prefix[0])
            keys.sort()
        for at in range(bisect_left(keys, start), len(keys)):
            if not keys[at].startswith(prefix):
                return
            yield keys[at]


class Snapshot:
    """Published rows at one moment; absolute, so a row in two layers is harmless."""

    def __init__(
        self,
        layers: tuple[OverlayKeys, OverlayKeys],
        transaction: lmdb.Transaction,
        damage: Damage,
    ) -> None:
        """Takes the overlays, the newer one first, what lies below them, and who notes damage."""
        self._layers = layers
        self._transaction = transaction
        self._damage = damage

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none."""
        for layer in self._layers:
            if key in layer.overlay:
                return layer.overlay[key]
        try:
            data = self._transaction.get(key)
            return None if data is None else unseal(bytes(data), "a row")
        except (StorageCorruptError, *DAMAGED_FILE) as error:
            raise self._damage.met(row_name(key), error) from error

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""
        start = max(prefix, after)
        below = self._stored_keys(prefix, start)
        sources = [*(layer.under(prefix, start) for layer in self._layers), below]
        heads = [next(source, None) for source in sources]
        found: list[tuple[bytes, bytes]] = []
        while len(found) < limit:
            key = min((head for head in heads if head is not None), default=None)
            if key is None:
                break
            if key != after and (value := self.get(key)) is not None:
                found.append((key, value))
            for at, head in enumerate(heads):
                if head == key:
                    heads[at] = next(sources[at], None)
        return found

    def _stored_keys(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        cursor = self._transaction.cursor()
        found = cursor.set_range(start)
        while found:
            key = bytes(cursor.key())
            if not key.startswith(prefix):
                return
            yield key
            found = cursor.next()
