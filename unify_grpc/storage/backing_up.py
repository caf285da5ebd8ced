"""A store's part in backups, beside its writer: holds it, copies what was kept, cleans up."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from threading import Event, RLock, Thread, Timer
from typing import TYPE_CHECKING, Final

import lmdb

from unify_grpc.machines.backup_part import HOLD_S, LEASE_S, BackupPart, Effect
from unify_grpc.machines.backup_records import (
    COPIED,
    COPYING,
    FAILED,
    OVER,
    CopiedFile,
    PartReply,
    StoreFacts,
    decode_command,
    encode,
)
from unify_grpc.storage.copies import remove_copy
from unify_grpc.storage.cut import CopyFailedError
from unify_grpc.storage.errors import StorageFullError, StoreError
from unify_grpc.storage.manifest import STORE_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.backup_records import AnyBackupCommand
    from unify_grpc.storage.cut import StoreCut
    from unify_grpc.storage.manifest import Manifest
    from unify_grpc.storage.store import Store

CUT_WAIT_S: Final = 2.0
"""For a commit that is under way, before a writer is not held."""
_LIFE_BITS: Final = 63


class StoreBackups:
    """The backups of one store. Any thread may call; `close` comes before the store's own."""

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        *,
        hold_s: float = HOLD_S,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the open store.

        Args:
            store: to be copied.
            manifest: what its directory says of it.
            hold_s: how long the writer is held at most.
            lease_s: how long a copy is kept that nobody asks for.
            clock: seconds that never go back.
        """
        self._store = store
        self._name = manifest.store
        self._facts = StoreFacts(
            manifest.deployment, manifest.shard_count, STORE_FORMAT, lmdb.version()[0]
        )
        # By chance, since a store without room cannot count how often it was opened.
        self._part = BackupPart(secrets.randbits(_LIFE_BITS), hold_s=hold_s, lease_s=lease_s)
        self._clock = clock
        self._lock = RLock()
        self._timer: Timer | None = None
        self._cut: StoreCut | None = None
        self._copying: _Copying | None = None
        self._is_closed = False

    def answer(self, command: bytes) -> bytes:
        """Carries a packed command out; returns a packed `PartReply`."""
        return encode(self.take(decode_command(command)))

    def take(self, command: AnyBackupCommand) -> PartReply:
        """Carries a command out."""
        with self._lock:
            if self._is_closed:
                return PartReply(OVER)
            self._expire()
            self._note_copy()
            state, effect = self._part.take(command, self._clock())
            if effect is not None and not self._act(effect):
                state = OVER
            self._set_timer()
            return self._reply(state)

    def close(self) -> None:
        """Ends whatever is under way, and removes what was copied but not taken over."""
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._act(Effect.DROP)

    def _act(self, effect: Effect) -> bool:
        """Does what the part decided; False if the writer could not be held."""
        match effect:
            case Effect.CUT:
                try:
                    self._cut = self._store.cut(CUT_WAIT_S)
                except (StoreError, lmdb.Error):
                    self._part.cut_failed()
                    return False
            case Effect.LET_GO:
                assert self._cut is not None, "what is let go was held"
                self._cut.let_go()
            case Effect.COPY:
                assert self._cut is not None, "what is copied was kept"
                directory = Path(self._part.directory) / self._name
                self._copying = _Copying(self._cut, self._part.backup, directory)
            case Effect.DROP | Effect.LEAVE:
                self._drop(is_removed=effect is Effect.DROP)
        return True

    def _drop(self, *, is_removed: bool) -> None:
        copying, self._copying = self._copying, None
        if copying is not None:
            copying.stop()
            if is_removed:
                remove_copy(copying.directory)
        cut, self._cut = self._cut, None
        if cut is not None:
            cut.close()

    def _note_copy(self) -> None:
        """Tells the part of a copy that has come to its end."""
        copying = self._copying
        if copying is None or not copying.is_done or self._part.state != COPYING:
            return
        if copying.failure is None:
            self._part.copied(copying.backup)
        else:
            is_full = isinstance(copying.failure, StorageFullError)
            self._part.copy_failed(copying.backup, is_full=is_full)

    def _reply(self, state: str) -> PartReply:
        copying = self._copying
        size, failure = 0, ""
        files: tuple[CopiedFile, ...] = ()
        if copying is not None:
            size = copying.written_bytes
            files = copying.files if state == COPIED else ()
            failure = str(copying.failure) if state == FAILED else ""
        elif self._cut is not None:
            size = self._cut.size_bytes
        facts = self._facts if self._cut is not None else None
        return PartReply(state, self._part.life, size, facts, files, failure)

    def _expire(self) -> None:
        effect = self._part.expire(self._clock())
        if effect is not None:
            self._act(effect)

    def _set_timer(self) -> None:
        """Has what nobody asks for any more end by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._part.deadline_s is not None:
            wait_s = max(0.0, self._part.deadline_s - self._clock())
            self._timer = Timer(wait_s, self._on_time)
            self._timer.daemon = True
            self._timer.start()

    def _on_time(self) -> None:
        with self._lock:
            if not self._is_closed:
                self._expire()
                self._set_timer()


class _Copying:
    """A copy on its way, in a thread of its own."""

    def __init__(self, cut: StoreCut, backup: str, directory: Path) -> None:
        self.backup = backup
        self.directory = directory
        self.written_bytes = 0
        self.files: tuple[CopiedFile, ...] = ()
        self.failure: StoreError | None = None
        self._cut = cut
        self._stop = Event()
        self._thread = Thread(target=self._copy, name="backup-copy", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether nothing more is written."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ends it, and returns when it has ended."""
        self._stop.set()
        self._thread.join()

    def _copy(self) -> None:
        try:
            self.files = self._cut.copy(self.directory, self._stop, self._count)
        except StoreError as error:
            self.failure = error
        except BaseException as error:  # noqa: BLE001 - a thread that ends in silence is no copy
            self.failure = CopyFailedError(f"it ended unexpectedly: {type(error).__name__}")

    def _count(self, written_bytes: int) -> None:
        self.written_bytes += written_bytes
