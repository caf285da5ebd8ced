"""Backups are made over and over while parts are killed; the last that was made is restored.

It holds what was acknowledged before it was asked for, and nothing that was sent after its answer.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from unify_client import BackupExists, BackupFailed, BackupRunning, ServiceError

from tests.chaos.audit import Audit
from tests.chaos.callers import PATIENCE, Caller
from tests.chaos.findings import Findings
from tests.chaos.holdings import COLLECTIONS
from tests.chaos.ledger import State
from tests.chaos.lookups import check_lookups
from tests.chaos.spaces import admin_of, is_harmless
from tests.integration.service import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from unify_client import UnifyClient

    from tests.chaos.callers import Deleter
    from tests.chaos.holdings import Holdings
    from tests.chaos.ledger import Entry, Ledger

_TIMEOUT_S = 20.0
_RESTORE_TIMEOUT_S = 120.0


class Made(NamedTuple):
    """A backup, and what was known when it was made."""

    directory: Path
    before: dict[str, Entry]
    """All that was sent before it was asked for."""
    after: dict[str, Entry]
    """The same when it was there."""
    deleted: list[str]
    """What was deleted before it was asked for."""


class BackingUp(Caller):
    """Makes one backup after the other, and keeps the last."""

    def __init__(
        self,
        address: str,
        directory: Path,
        ledger: Ledger,
        deleter: Deleter,
        findings: Findings,
        seed: str,
    ) -> None:
        super().__init__("backup", findings)
        self.last: Made | None = None
        self.made_count = 0
        self.failed_count = 0
        self._source = random.Random(f"{seed} backup")
        self.answered_since = inf
        """Nobody waits for a backup."""
        self._admin = self.keep(admin_of(address, PATIENCE))
        self._directory = directory
        self._ledger = ledger
        self._deleter = deleter

    def step(self) -> None:
        """Makes a backup; some meet a kill, and then there is none."""
        self.pause(self._source.uniform(0, 1))
        directory = self._directory / f"backup-{self.made_count + self.failed_count}"
        deleted, before = list(self._deleter.deleted), _copied(self._ledger)
        try:
            self._admin.create_backup(str(directory), timeout_s=_TIMEOUT_S)
        except (BackupExists, BackupFailed, BackupRunning):
            # It exists where a killed gateway left its half of one and the client asked again.
            self.failed_count += 1
        except ServiceError as error:
            self.failed_count += 1
            if not is_harmless(error):
                self.findings.note("a call fails for good", f"{self.name}: {error}")
        else:
            self.made_count += 1
            if self.last is not None:
                shutil.rmtree(self.last.directory)
            self.last = Made(directory, before, _copied(self._ledger), deleted)


def restore(backup: Path, data_dir: Path) -> list[str]:
    """Makes a data directory of a backup; returns what the command complains about."""
    paths = [str(ROOT), str(ROOT / "clients/python")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "actors.command_line", "restore", str(backup)),
            *("--data-dir", str(data_dir)),
        ],
        capture_output=True,
        text=True,
        timeout=_RESTORE_TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=ROOT,
    )
    return [] if done.returncode == 0 else [f"code {done.returncode}: {done.stderr[-1000:]}"]


def check_restored(made: Made, reader: UnifyClient, holdings: Holdings) -> list[str]:
    """Compares what a restored service holds with what was known when its backup was made."""
    findings = Findings()
    gone = check_cut(made, holdings, findings)
    check_lookups(reader, made.before, holdings, gone, findings)
    return findings.texts


def check_cut(made: Made, holdings: Holdings, findings: Findings) -> list[str]:
    """Notes what is missing, or too much; returns the identifiers that are gone as they must."""
    held = {
        identifier
        for collection in COLLECTIONS
        for profile in holdings[collection]
        for identifier in profile.identifiers
    }
    gone = [each for each in made.deleted if each not in held]
    if len(gone) < len(made.deleted):
        findings.note("what was deleted is back", "it was deleted before the backup")
    known = {
        message_id: made.before.get(message_id) or replace(entry, state=State.UNKNOWN)
        for message_id, entry in made.after.items()
    }
    Audit(known, holdings, _deleted_by_then(known, held), findings).check()
    return gone


def _deleted_by_then(known: dict[str, Entry], held: set[str]) -> set[str]:
    """Returns the addresses that come and go, as far as they are not there."""
    addresses = {
        f"email:{entry.message['traits']['email']}"
        for entry in known.values()
        if str(entry.message.get("traits", {}).get("email", "")).startswith("gone-")
    }
    return addresses - held


def _copied(ledger: Ledger) -> dict[str, Entry]:
    return {message_id: replace(entry) for message_id, entry in ledger.entries().items()}
