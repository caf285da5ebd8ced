"""A stopped store, opened for a look and nothing else: no file of it is changed.

What its log holds after the checkpoint is replayed into memory, where the next start would replay
it; the settings that bound that tail bound this too.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from lmdb import verify as lmdb_verify

from unify_grpc.storage import manifest as manifests
from unify_grpc.storage.audit_view import AuditView
from unify_grpc.storage.environments import DATA_FILE, open_for_reading
from unify_grpc.storage.errors import StorageCorruptError
from unify_grpc.storage.positions import check_order, check_version, last_number, read_position
from unify_grpc.storage.records import unseal
from unify_grpc.storage.snapshot import OverlayKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from unify_grpc.machines.tables import Changes
    from unify_grpc.storage.manifest import Manifest
    from unify_grpc.storage.snapshot import Overlay

_NUMBER_BYTES: Final = 8
_ROWS_AT_ONCE: Final = 1000
_NAMES_PAGES: Final = re.compile(r"(main DB|freeDB|meta page|page)\b|\d+ page\(s\) ")
"""How LMDB's checks begin that name pages only; others might name keys."""
_HARMLESS: Final = re.compile(
    r"freeDB DB: overflow page \d+ header mp_pages"
    r"|freeDB DB: walked \d+ overflow pages"
    r"|\d+ page\(s\) are neither reachable nor in the freeDB"
)
"""LMDB writes its list of free pages over a longer one, whose pages then count as lost."""
STRUCTURE_FAULTS_MAX: Final = 20


def find_structure_faults(directory: Path) -> list[str]:
    """Returns what is wrong with the pages of a store that nobody has open; nothing if sound.

    Reads the files as bytes, so that no damage can end the process.
    """
    faults: list[str] = []
    for name in manifests.ENVIRONMENTS:
        if not (directory / name / DATA_FILE).exists():
            faults.append(f"{name}: the file is missing")
            continue
        try:
            texts = lmdb_verify.verify(str(directory / name))  # type: ignore[no-untyped-call]  # has no types
        except lmdb_verify.VerifyError as error:
            texts = [f"page {error}"]
        wrong = [text for text in texts if not _HARMLESS.match(text)]
        for text in wrong[:STRUCTURE_FAULTS_MAX]:
            told = text if _NAMES_PAGES.match(text) else "its pages do not fit together"
            faults.append(f"{name}: {told}")
    return faults


class ReadOnlyStore:
    """A stopped store; others are kept from opening it until `close`."""

    def __init__(self, directory: Path, expected: Manifest, machine_version: int) -> None:
        """Opens a store whose files are sound.

        Raises:
            StoreRefusedError: held by another process, missing, another one, of another format
                or machine.
            LogTooShortError: its log ends before its checkpoint.
            StorageCorruptError: where its checkpoint is does not match its checksum.
        """
        manifests.check_manifest(manifests.read_manifest(directory), expected)
        self._lock_descriptor = manifests.lock_directory(directory)
        self._machine_version = machine_version
        self._overlay: Overlay = {}
        with ExitStack() as undone:
            undone.callback(os.close, self._lock_descriptor)
            self._log = open_for_reading(directory / "log")
            undone.callback(self._log.close)
            self._state = open_for_reading(directory / "state")
            undone.callback(self._state.close)
            self._records, self._rows = self._log.begin(buffers=True), self._state.begin()
            undone.callback(self._records.abort)
            undone.callback(self._rows.abort)
            self.position = read_position(self._rows)
            """The last record that the written rows stand for."""
            self.next_number = last_number(self._records) + 1
            check_order(self.position, self.next_number - 1)
            undone.pop_all()
        self._published = self.position
        self._look()

    def _look(self) -> None:
        """Takes a view for as long as what is published stays as it is."""
        self._keys = OverlayKeys(self._overlay)
        self._view = AuditView([self._keys], self._rows, self._records, self._published)

    def close(self) -> None:
        """Lets others open the store."""
        self._records.abort()
        self._rows.abort()
        self._log.close()
        self._state.close()
        os.close(self._lock_descriptor)

    def tail(self) -> Iterator[tuple[int, bytes]]:
        """Yields the records after the checkpoint; their changes are to be published.

        Raises:
            StoreRefusedError: a record was written by another version of the machine.
            StorageCorruptError: one is missing, or not as it was written.
        """
        for number in range(self.position + 1, self.next_number):
            data = self._records.get(number.to_bytes(_NUMBER_BYTES, "big"))
            if data is None:
                raise StorageCorruptError(f"log record {number} is missing")
            payload = unseal(bytes(data), f"log record {number}")
            check_version(bytes(data), self._machine_version)
            yield number, payload

    def publish(self, changes: Changes, number: int) -> None:
        """Lays the rows that follow from a record over the written ones, in memory."""
        self._overlay.update(changes)
        self._view.number = self._published = number

    def drop_tail(self) -> None:
        """Forgets what was published: the rows are those of the checkpoint again."""
        self._overlay, self._published = {}, self.position
        self._look()

    def damage_below(self) -> list[bytes]:
        """Returns the keys of damaged rows that the tail hides, since it has newer ones."""
        damaged = []
        for key in self._overlay:
            data = self._rows.get(key)
            try:
                if data is not None:
                    unseal(bytes(data), "a row")
            except StorageCorruptError:
                damaged.append(key)
        return damaged

    @contextmanager
    def auditing(self) -> Iterator[AuditView]:
        """Holds the store for a look; nothing changes it meanwhile."""
        yield self._view

    # -- what a machine that replays the tail reads ----------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """Returns a row's value, or None if there is none."""
        return self._view.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the rows of a prefix in the order of keys."""
        after: bytes | None = b""
        while after is not None:
            listed = self._view.list_rows(prefix, after=after, limit=_ROWS_AT_ONCE)
            yield from _sound(listed.rows)
            after = listed.after

    def list_rows(
        self, prefix: bytes, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Returns at most `limit` rows of a prefix in key order, only those after a key."""
        return list(_sound(self._view.list_rows(prefix, after=after, limit=limit).rows))

    def record(self, number: int) -> bytes:
        """Returns a record of the log; `LookupError` if it was never appended."""
        record = self._view.checked_record(number)
        if record is None:
            raise LookupError(number)
        return bytes(record.payload)


def _sound(rows: Iterable[tuple[bytes, bytes | None]]) -> Iterator[tuple[bytes, bytes]]:
    for key, value in rows:
        if value is None:
            raise StorageCorruptError("a row does not match its checksum")
        yield key, value
