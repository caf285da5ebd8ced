"""Control in memory, for a gateway without the service's actors behind it: one space, `dev`."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from bench.service import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY
from unify_grpc.machines.control_commands import NewSpace
from unify_grpc.machines.control_machine import ControlMachine
from unify_grpc.machines.control_records import SCOPES
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from unify_grpc.machines.control_records import DirectoryChanges
    from unify_grpc.machines.tables import Decision


class MemoryControl:
    """The real control machine; what it decides is gone with the process."""

    def __init__(self) -> None:
        """Makes the space with the keys that the bench sends with."""
        self._store = MemoryStore()
        self._machine = ControlMachine(self._store)
        self._machine.load()
        now_us = time.time_ns() // 1000
        self._execute(self._machine.found(secrets.token_bytes(32), ADMIN_TOKEN, now_us))
        command = NewSpace(
            name="dev",
            rules=b"{}",
            author="bench",
            now_us=now_us,
            space_id="spa_dev",
            secret=secrets.token_bytes(32),
            write_key=WRITE_KEY,
            source_id="src_dev",
            access_token=ACCESS_TOKEN,
            access_token_id="tok_dev",  # noqa: S106 - an id
            scopes=list(SCOPES),
        )
        self._execute(self._machine.administer(command))

    def changes_since(self, revision: int) -> DirectoryChanges | None:
        """Returns what changed since a gateway's revision; None: nothing."""
        return self._machine.directory_since(revision)

    def see_types(self, space: int, types: list[str]) -> None:
        """Has a space meet types of identifiers."""
        self._execute(self._machine.see_types(space, types))

    def _execute(self, decision: Decision[Any, Any]) -> None:
        if decision.record is not None:
            number = self._store.append(decision.record)
            self._store.publish(decision.changes, number)
            self._machine.committed(decision.changes)
