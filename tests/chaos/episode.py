"""One life of a data directory: callers write, parts are killed, at the end all must be there."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from unify_client import Ack, ServiceError

from tests.chaos.audit import Audit, sides_of
from tests.chaos.backups import BackingUp, check_restored, restore
from tests.chaos.callers import Caller, Deleter, StreamWriter, UnaryWriter
from tests.chaos.findings import Findings
from tests.chaos.holdings import read_all
from tests.chaos.journal import as_it_starts
from tests.chaos.kills import ENDS_ITSELF, FATAL, LAST, Kill, Target
from tests.chaos.ledger import Ledger
from tests.chaos.lookups import check_lookups
from tests.chaos.orderly import Orderly, check_told, send_again
from tests.chaos.people import OPEN_RULES
from tests.chaos.spaces import admin_of, make_space
from tests.chaos.supervised import POLL_S, Supervised
from tests.chaos.watcher import Watcher
from tests.conformance.grpc_backend import to_wire
from tests.integration.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from unify_client import UnifyClient

    from tests.chaos.holdings import Holdings
    from tests.chaos.spaces import ChaosSpace
    from tests.chaos.victims import Victim

SHARDS: Final = 3
GATEWAYS: Final = 2
_RECOVERS_S = 150.0
_RESTS_S = 120.0
_JOINS_S = 450.0
_FIRST_CUT_CHANCE = 0.5
_FIRST_CUT_S_MAX = 5.0
_BATCH = 100
"""Events in a call when all are sent again."""


@dataclass
class Report:
    """What an episode did and found."""

    seed: int
    killed: list[str] = field(default_factory=list)
    """`target` or `target as it starts`, in order."""
    said: list[str] = field(default_factory=list)
    """The same for people, with times."""
    recoveries_s: dict[str, list[float]] = field(default_factory=dict)
    """By target: from the kill to an answer for every caller."""
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Everything that helps to find out what happened."""
        lines = [f"seed {self.seed}", "kills:", *(f"  {each}" for each in self.said)]
        lines += [f"counts: {self.counts}", "findings:", *(f"  {each}" for each in self.findings)]
        return "\n".join(lines)


class Episode:
    """Runs once."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        kills: Sequence[Kill],
        *,
        ends_at: float | None = None,
        has_backups: bool = False,
    ) -> None:
        """Takes an empty directory, what is to be killed, and when to kill no more.

        Args:
            directory: for the data, the service's log and the ledger; stays as it is at the end.
            seed: of all that is left to chance.
            kills: in their order.
            ends_at: by `time.monotonic`; None: after all kills.
            has_backups: whether backups are made meanwhile, and the last one is restored.
        """
        self.findings = Findings()
        self.report = Report(seed)
        self.ledger = Ledger()
        self._kills = kills
        self._directory = directory
        self._source = random.Random(f"{seed} episode")
        self._supervised = Supervised(
            directory / "data", self.findings, shards=SHARDS, gateways=GATEWAYS
        )
        self._began = 0.0
        self._callers: list[Caller] = []
        self._backups: BackingUp | None = None
        self._is_stopping = threading.Event()
        self._ends_at = ends_at
        self._has_backups = has_backups

    def stop_early(self) -> None:
        """Has it kill no more, and go on to the end."""
        self._is_stopping.set()

    def run(self) -> Report:
        """Returns the report; the service and all callers have ended then."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - it is what the report is about
            self.findings.note("the run broke off", f"{type(error).__name__}: {error}")
        finally:
            for caller in self._callers:
                caller.stop()
            self._supervised.kill_all()
            self.ledger.write(self._directory / "ledger.jsonl")
        self.report.findings = self.findings.texts
        return self.report

    def _run(self) -> None:
        supervised = self._supervised
        self._began = time.monotonic()
        supervised.bring_up(self._first_cut())
        with admin_of(supervised.address) as admin:
            space = make_space(admin, supervised.address, "open", OPEN_RULES)
            deleter, orderly = self._start_callers(space)
            for at, kill in enumerate(self._kills):
                following = self._kills[at + 1 : at + 2]
                self._carry_out(kill, admin, waits=not any(each.is_hasty for each in following))
                late = self._ends_at is not None and time.monotonic() > self._ends_at
                if self._is_stopping.is_set() or self.findings or late:
                    break
            self._end_callers()
            self._say("callers ended")
            self._count(deleter, orderly)
            self._check(admin, space, deleter, orderly)
            self._say("checked")
            supervised.stop()
            self._verify()
            self._say("stopped and verified")
            self._restore(space)
            supervised.bring_up()
            self._say("started again")
            self._send_all_again(space, orderly)
            self._say("all sent again")
            self._check(admin, space, deleter, orderly)
            self._say("checked")
        supervised.stop()
        self._verify()
        self._say("stopped and verified")

    def _count(self, deleter: Deleter, orderly: Orderly) -> None:
        self.report.counts = self.ledger.counts() | {
            "deletions": len(deleter.deleted),
            "histories": len(orderly.told),
            "events of histories": sum(len(each.sent) for each in orderly.told),
            "repeats of histories": sum(each.repeats_count for each in orderly.told),
            "deletions of histories": sum(each.deletions_count for each in orderly.told),
            "starts": self._supervised.starts_count,
        }
        if self._backups is not None:
            self.report.counts["backups"] = self._backups.made_count
            self.report.counts["backups that met a kill"] = self._backups.failed_count

    # -- callers ------------------------------------------------------------------------------

    def _start_callers(self, space: ChaosSpace) -> tuple[Deleter, Orderly]:
        seed = f"{self.report.seed}"
        written = (space, self.ledger, self.findings, seed)
        deleter = Deleter("del", *written)
        orderly = Orderly("strict", self._supervised.address, self.findings, seed)
        self._callers = [
            UnaryWriter("unary", *written),
            UnaryWriter("eager", *written, ack=Ack.ACCEPTED),
            StreamWriter("stream", *written),
            StreamWriter("flood", *written, ack=Ack.ACCEPTED),
            deleter,
            orderly,
            Watcher("watch", *written),
        ]
        if self._has_backups:
            self._backups = BackingUp(
                self._supervised.address,
                self._directory,
                self.ledger,
                deleter,
                self.findings,
                seed,
            )
            self._callers.append(self._backups)
        for caller in self._callers:
            caller.start()
        return deleter, orderly

    def _end_callers(self) -> None:
        for caller in self._callers:
            caller.stop()
        for caller in self._callers:
            if not caller.join(_JOINS_S):
                self.findings.note("a caller hangs", caller.name)

    # -- kills --------------------------------------------------------------------------------

    def _carry_out(self, kill: Kill, admin: UnifyClient, *, waits: bool) -> None:
        """Kills, starts again what does not come back by itself, and waits until all is well."""
        self._is_stopping.wait(kill.delay_s)
        supervised = self._supervised
        struck = 0
        while not struck:
            found = supervised.victims_of(kill.target)
            if not found:
                self.findings.note("a part does not come back", f"{kill.target}")
                return
            killed_at = time.monotonic()
            struck = sum([each.kill() for each in self._chosen(kill, found, kill.target)])
        self._note(kill.target, f"{kill}")
        if kill.target in FATAL:
            supervised.reap(kill.target if kill.target in ENDS_ITSELF else None)
            cut = None if kill.start_delay_s is None else lambda: self._cut_start(kill)
            supervised.bring_up(cut)
            self._say("it serves again")
        elif kill.start_delay_s is not None:
            self._cut_restart(kill, found)
        if waits:
            self._await_recovery(kill, admin, killed_at)

    def _chosen(self, kill: Kill, found: list[Victim], target: Target) -> list[Victim]:
        if target is Target.EVERYTHING:
            self._source.shuffle(found)
            return found
        return [found[int(kill.choice * len(found))]]

    def _cut_restart(self, kill: Kill, before: list[Victim]) -> None:
        """Kills what comes in the place of a part, as it starts."""
        assert kill.start_delay_s is not None
        successor = self._supervised.successor_of(kill.target, before)
        if successor is None:
            return
        self._is_stopping.wait(kill.start_delay_s)
        if successor.kill():
            self._note(kill.target, f"{kill}: again as it starts", is_start=True)

    def _first_cut(self) -> Callable[[], bool] | None:
        """Returns what kills everything while the data directory is made; half of the times."""
        if self._source.random() < _FIRST_CUT_CHANCE:
            return None
        first = Kill(
            number=-1,
            target=Target.EVERYTHING,
            delay_s=0.0,
            is_hasty=False,
            start_delay_s=self._source.uniform(0, _FIRST_CUT_S_MAX),
            choice=LAST,
        )
        return lambda: self._cut_start(first)

    def _cut_start(self, kill: Kill) -> bool:
        """Kills a part of a service that starts, or all of it; returns whether that ends it."""
        assert kill.start_delay_s is not None
        self._is_stopping.wait(kill.start_delay_s)
        target = list(Target)[int(kill.choice * len(Target))]
        found = self._supervised.victims_of(target, give_up_s=0.0)
        if not found:
            target = Target.EVERYTHING
            found = self._supervised.victims_of(target, give_up_s=0.0)
        if not sum([each.kill() for each in self._chosen(kill, found, target)]):
            return False
        self._note(target, f"{kill}: {target} as the service starts", is_start=True)
        return target in FATAL

    def _note(self, target: Target, text: str, *, is_start: bool = False) -> None:
        self.report.killed.append(as_it_starts(target) if is_start else f"{target}")
        self._say(text)

    def _say(self, text: str) -> None:
        self.report.said.append(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def _await_recovery(self, kill: Kill, admin: UnifyClient, killed_at: float) -> None:
        """Waits until every caller was answered something that it sent after the kill."""

        def is_well() -> bool:
            return (
                all(each.answered_since > killed_at for each in self._callers)
                and self._is_whole()
                and self._is_administered(admin)
            )

        while not _becomes_true(is_well, _RECOVERS_S, unless=self._has_ended):
            if not self._supervised.service.has_ended:
                away = [each.name for each in self._callers if each.answered_since <= killed_at]
                text = f"{_RECOVERS_S:.0f} s after kill {kill}; waiting: {', '.join(away)}"
                self.findings.note("the service does not recover", text)
                return
            self.findings.note("the service ended itself", f"after kill {kill}")
            self._supervised.reap()
            self._supervised.bring_up()
        took_s = time.monotonic() - killed_at
        self.report.recoveries_s.setdefault(kill.target, []).append(took_s)
        self._say("all answered")

    def _has_ended(self) -> bool:
        return self._supervised.service.has_ended

    def _is_whole(self) -> bool:
        """Whether every part has a process."""
        wanted = {Target.SHARD: SHARDS, Target.GATEWAY: GATEWAYS - 1}
        wanted |= {Target.MERGE: 1, Target.CONTROL: 1}
        found = self._supervised.victims_of
        return all(len(found(each, 0.0)) >= count for each, count in wanted.items())

    def _is_administered(self, admin: UnifyClient) -> bool:
        """Whether control answers, and all parts say that they serve."""
        try:
            next(iter(admin.list_audit_entries("")), None)
            return admin.get_status().ready
        except ServiceError:
            return False

    # -- the end ------------------------------------------------------------------------------

    def _check(
        self, admin: UnifyClient, space: ChaosSpace, deleter: Deleter, orderly: Orderly
    ) -> None:
        """Lets everything come to rest, and compares what is there with what must be."""
        if not _becomes_true(lambda: is_at_rest(admin), _RESTS_S):
            self.findings.note("links stay undecided", f"{admin.get_status()}")
        entries = self.ledger.entries()
        with space.reader_at_rest() as reader:
            holdings = self._whole_holdings(reader)
            Audit(entries, holdings, deleter.deleted, self.findings).check()
            check_lookups(reader, entries, holdings, deleter.deleted, self.findings)
        for told in orderly.told:
            check_told(told, self.findings)

    def _whole_holdings(self, reader: UnifyClient) -> Holdings:
        """Reads a space until no event waits for its other side, which a sweep stores."""
        both = {
            message_id
            for message_id, entry in self.ledger.entries().items()
            if len(sides_of(entry.message)) > 1
        }
        read: list[Holdings] = []

        def is_whole() -> bool:
            read.append(read_all(reader))
            listed = [
                {event.message_id for profile in profiles for event in profile.events}
                for profiles in read[-1].values()
            ]
            return not both & (listed[0] ^ listed[1])

        _becomes_true(is_whole, _RESTS_S)
        return read[-1]

    def _send_all_again(self, space: ChaosSpace, orderly: Orderly) -> None:
        """What is stored is known, what was unknown and is not is stored now."""
        entries = self.ledger.entries()
        with space.reader_at_rest() as reader:
            stored = {
                event.message_id
                for profiles in read_all(reader).values()
                for profile in profiles
                for event in profile.events
            }
        messages = [entry.message for entry in entries.values()]
        with space.writer() as writer:
            for first in range(0, len(messages), _BATCH):
                batch = messages[first : first + _BATCH]
                self.ledger.sending(batch)
                for message, result in zip(batch, writer.ingest(map(to_wire, batch)), strict=True):
                    is_known = message["messageId"] in stored
                    if result.status != ("DUPLICATE" if is_known else "STORED"):
                        text = f"{message['messageId']}: {result.status}, was stored: {is_known}"
                        self.findings.note("an event sent again is not known", text)
                    self.ledger.acked(message, result, is_resolved=True)
        for told in orderly.told:
            send_again(told, self.findings)

    def _restore(self, space: ChaosSpace) -> None:
        """Restores the last backup, serves it at a port of its own, and compares."""
        made = self._backups.last if self._backups is not None else None
        if made is None:
            return
        restored = self._directory / "restored"
        for problem in restore(made.directory, restored):
            self.findings.note("unify restore", problem)
        other = Supervised(restored, self.findings, shards=SHARDS, gateways=GATEWAYS)
        try:
            other.bring_up()
            with admin_of(other.address) as admin:
                _becomes_true(lambda: is_at_rest(admin), _RESTS_S)
            with space._replace(address=other.address).reader_at_rest() as reader:
                holdings = self._whole_holdings(reader)
                for problem in check_restored(made, reader, holdings):
                    self.findings.note("a restored backup", problem)
            other.stop()
        finally:
            other.kill_all()
        self._verify("restored")
        self._say("restored and verified")

    def _verify(self, data_dir: str = "data") -> None:
        for problem in verify(self._directory / data_dir):
            self.findings.note("unify verify", f"{data_dir}: {problem}")


def is_at_rest(admin: UnifyClient) -> bool:
    """Whether all links are decided, and all decisions are everywhere."""
    try:
        status = admin.get_status()
    except ServiceError:
        return False
    pending = sum(each.links_pending_count for each in status.shards)
    unconfirmed = sum(each.pushes_unconfirmed_count for each in status.merge_actors)
    return status.ready and not pending and not unconfirmed


def _becomes_true(
    holds: Callable[[], bool], give_up_s: float, unless: Callable[[], bool] = lambda: False
) -> bool:
    """Asks again and again until something holds; False if it does not, or something else does."""
    give_up = time.monotonic() + give_up_s
    pause = threading.Event()
    while not holds():
        if unless() or time.monotonic() > give_up:
            return False
        pause.wait(POLL_S)
    return True
