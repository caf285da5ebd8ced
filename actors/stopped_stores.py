"""Verifies the stores of a service that does not run, without changing anything."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from actors.data_dir import read_deployment
from actors.names import part_name
from actors.preflight import HELD_S, machine_version, read_progress
from unify_grpc.machines.control_machine import ControlMachine
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.row_names import row_name
from unify_grpc.machines.shard_machine import ShardMachine
from unify_grpc.machines.tables import DamagedError
from unify_grpc.placement.slots import ShardMap
from unify_grpc.storage.errors import (
    LogTooShortError,
    StorageCorruptError,
    StoreHeldError,
    StoreRefusedError,
)
from unify_grpc.storage.manifest import lock_directory
from unify_grpc.storage.read_only import ReadOnlyStore, find_structure_faults
from unify_grpc.verification.auditors import ControlAuditor, MergeAuditor, ShardAuditor
from unify_grpc.verification.claims import CONTROL, MERGE
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.verification import Ask, Finding, Verification, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.data_dir import Deployment
    from unify_grpc.machines.tables import Changes
    from unify_grpc.verification.auditors import Auditor
    from unify_grpc.verification.verification import Report

WORK_MAX: Final = 20_000
_PAUSE_S: Final = 0.1
_ANY_WINDOW_DAYS: Final = 30
"""Of the machine that replays a tail: which messages repeat others stands in the records."""


class StoppedReport(NamedTuple):
    """What a verification came to."""

    findings: list[tuple[str, str, str]]
    """(part, invariant, description), the first of them."""
    findings_count: int
    records_count: int


def verify_stopped(directory: Path) -> StoppedReport:
    """Verifies all stores of a data directory that nobody serves.

    Raises:
        StoreHeldError: somebody does.
        StoreRefusedError: it is no data directory, or stores are missing, of another deployment,
            or of another version, so that they cannot be checked.
    """
    deployment = read_deployment(directory)
    descriptor = lock_directory(directory)
    try:
        with ExitStack() as opened:
            stores = _Stores(directory, deployment, opened)
            report = stores.verify()
    finally:
        os.close(descriptor)
    findings = [*stores.findings, *report.findings]
    told = [(part_name(part), invariant, text) for part, invariant, text in findings]
    return StoppedReport(told, len(stores.findings) + report.findings_count, report.records_count)


class _Stores:
    """The stores of a directory, as far as they can be opened."""

    def __init__(self, directory: Path, deployment: Deployment, opened: ExitStack) -> None:
        self.findings: list[Finding] = []
        self._shard_map = ShardMap(deployment.shard_count)
        self._parts: dict[int, tuple[Auditor, ReadOnlyStore]] = {}
        self._alone: list[int] = []
        for part in parts_of(deployment.shard_count):
            store = self._open(directory, deployment, part)
            if store is not None:
                opened.callback(store.close)
                self._parts[part] = self._auditor(part), store
                self._replay(part, store)
        self._compare_progress(directory)

    def verify(self) -> Report:
        """Checks all that is open."""
        course = Verification(
            list(self._parts), alone=self._alone, work_max=WORK_MAX, rounds=0
        ).run()
        try:
            asked = next(course)
            while True:
                assert isinstance(asked, Ask), "what nobody changes is asked once"
                auditor, store = self._parts[asked.part]
                with store.auditing() as view:
                    reply = auditor.reply(view, asked.request)
                asked = course.send(reply)
        except StopIteration as stop:
            report: Report = stop.value
            return report

    def _find(self, part: int, invariant: Invariant, text: str) -> None:
        self.findings.append(Finding(part, invariant.value, text))

    def _open(self, directory: Path, deployment: Deployment, part: int) -> ReadOnlyStore | None:
        """Opens a store, unless its files are broken: reading those could end the process.

        What keeps it from being opened is a finding, unless nothing can be said about it at all.
        """
        name = part_name(part)
        if not (directory / name).is_dir():
            raise StoreRefusedError(f"{directory / name} is missing: restore it or its backup")
        with _held(directory / name):
            faults = find_structure_faults(directory / name)
        for fault in faults:
            self._find(part, Invariant.STRUCTURE, fault)
        if faults:
            return None
        manifest = deployment.manifest(name)
        try:
            return ReadOnlyStore(directory / name, manifest, machine_version(name))
        except LogTooShortError as error:
            self._find(part, Invariant.WHOLE_LOG, str(error))
        except StorageCorruptError as error:
            self._find(part, Invariant.CHECKSUMS, str(error))
        return None

    def _auditor(self, part: int) -> Auditor:
        if part == CONTROL:
            return ControlAuditor()
        return (
            MergeAuditor(self._shard_map) if part == MERGE else ShardAuditor(part, self._shard_map)
        )

    def _replay(self, part: int, store: ReadOnlyStore) -> None:
        """Brings a store's rows up to the end of its log; if that fails, they stay behind it."""
        if store.next_number - 1 == store.position:
            return
        try:
            self._replay_tail(part, store)
        except StoreRefusedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the replay stumbles over is the finding
            text = f"the log behind {store.position} gives no rows: {_told(error)}"
            self._find(part, Invariant.WHOLE_LOG, text)
            store.drop_tail()
            self._alone.append(part)
            return
        for key in store.damage_below():
            self._find(part, Invariant.CHECKSUMS, f"{row_name(key)} does not match its checksum")

    def _replay_tail(self, part: int, store: ReadOnlyStore) -> None:
        if part == MERGE:
            merge = MergeMachine(store, self._shard_map)
            merge.load()
            for number, record in store.tail():
                store.publish(merge.replay(number, record), number)
            return
        machine: ControlMachine | ShardMachine = (
            ControlMachine(store)
            if part == CONTROL
            else ShardMachine(part, store, dedupe_window_days=_ANY_WINDOW_DAYS)
        )
        machine.load()
        for number, record in store.tail():
            changes: Changes = machine.replay(number, record)
            store.publish(changes, number)
            machine.committed(changes)

    def _compare_progress(self, directory: Path) -> None:
        """Finds stores that are older than when they were last served."""
        try:
            seen = read_progress(directory)
        except StoreRefusedError as error:
            self._find(CONTROL, Invariant.WHOLE_LOG, f"of all parts: {error}")
            return
        for part, (_, store) in self._parts.items():
            before = seen.get(part_name(part))
            if before is not None and store.next_number - 1 < before.last_number:
                text = f"the log ends at {store.next_number - 1}, and was at {before.last_number}"
                self._find(part, Invariant.WHOLE_LOG, text)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Holds a store; waits for an actor whose service was killed to let it go."""
    deadline = time.monotonic() + HELD_S
    while True:
        try:
            descriptor = lock_directory(directory)
            break
        except StoreHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        os.close(descriptor)


def _told(error: Exception) -> str:
    """Returns what an error says, if that is sure to name no value."""
    return str(error) if isinstance(error, DamagedError) else type(error).__name__
