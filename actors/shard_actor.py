"""One shard as a Ray actor: executes what its machine decides, and answers reads beside it."""

from __future__ import annotations

import time

import msgspec
import ray

from actors.auditing import answer_audit
from actors.hosting import (
    HostedStore,
    answer_read,
    encode_answer,
    end_process,
    execute,
    execute_bulk,
    open_store,
    prepare_process,
    replay_tail,
)
from actors.names import shard_name
from unify_grpc.machines.links import encode
from unify_grpc.machines.list_questions import Counted, CountSpaces
from unify_grpc.machines.part_reports import ShardReport, encode_report
from unify_grpc.machines.reads import decode_questions, encode_answers
from unify_grpc.machines.shard_machine import MACHINE_VERSION, ShardMachine
from unify_grpc.machines.shard_reader import ShardReader
from unify_grpc.placement.slots import ShardMap
from unify_grpc.storage.backing_up import StoreBackups
from unify_grpc.telemetry.logs import get_logger
from unify_grpc.verification.auditors import ShardAuditor

SHARD_GROUPS = {"write": 1, "read": 1, "backup": 1}
"""Threads by kind of method: reads are answered beside a batch that is being stored."""

_decode_keys = msgspec.msgpack.Decoder(list[bytes]).decode


class ShardActor:
    """Owns one shard's store. `write` methods run one at a time, `read` beside them."""

    def __init__(
        self, shard: int, shard_map: ShardMap, hosted: HostedStore, dedupe_window_days: int
    ) -> None:
        """Opens the store and replays its tail; a failure ends the process, never the actor."""
        try:
            prepare_process(hosted)
            self._part = shard_name(shard)
            self._started_us = time.time_ns() // 1000
            self._store = open_store(hosted, MACHINE_VERSION)
            self._machine = ShardMachine(shard, self._store, dedupe_window_days=dedupe_window_days)
            opened_ms = (time.time_ns() // 1000 - self._started_us) / 1000
            replayed = replay_tail(self._store, self._machine, self._machine.committed)
            self._backups = StoreBackups(self._store, hosted.manifest)
            self._auditor = ShardAuditor(shard, shard_map)
            self._reader = ShardReader(shard, shard_map, self._store, self._machine.incarnations)
            get_logger(self._part).info(
                "shard_started",
                open_ms=opened_ms,
                replay_ms=replayed.took_ms,
                records_replayed_count=replayed.records_count,
                replayed_bytes=replayed.bytes_count,
            )
        except BaseException as error:  # noqa: BLE001 - a raise here would be for good
            end_process(shard_name(shard), error)

    def append(self, data: bytes) -> bytes:
        """Stores a batch; returns a packed `Append`."""
        return execute_bulk(
            self._part,
            self._store,
            lambda: self._machine.append(data, self._store.next_number),
            self._machine.committed,
        )

    def push(self, data: bytes) -> bytes:
        """Applies rows of the merge actor; returns packed `Void`s."""
        return execute(
            self._part, self._store, lambda: self._machine.push(data), self._machine.committed
        )

    def look_up(self, keys: bytes) -> bytes:
        """Returns a packed list of `LookedUp`."""
        return answer_read(lambda: encode(self._machine.look_up(_decode_keys(keys))))

    def list_pending(self, before_us: int, links_max: int) -> bytes:
        """Returns a packed list of `PendingLink`; the merge actor asks each second."""
        self._tend()
        return answer_read(
            lambda: encode(self._machine.list_pending(before_us=before_us, links_max=links_max)),
        )

    def _tend(self) -> None:
        try:
            self._store.tend()
        except Exception as error:  # noqa: BLE001 - as in `execute`
            end_process(self._part, error)

    def fill_search(self) -> bytes:
        """Goes through some of what was stored before a trait was searchable; whether all is."""
        return execute_bulk(
            self._part, self._store, self._machine.fill_search, self._machine.committed
        )

    def clear_owed(self, sides: bytes) -> bytes:
        """Ends marks of owed sides."""
        return execute(
            self._part,
            self._store,
            lambda: self._machine.clear_owed(sides),
            self._machine.committed,
        )

    def list_owed(self, before_us: int, sides_max: int) -> bytes:
        """Returns a packed list of `OwedSide`."""
        return answer_read(
            lambda: encode(self._machine.list_owed(before_us=before_us, sides_max=sides_max)),
        )

    def close(self) -> bool:
        """Checkpoints and releases the store, so that no tail is left; call nothing after it."""
        self._backups.close()
        self._store.close()
        return True

    def back_up(self, command: bytes) -> bytes:
        """Does the store's part in a backup; returns a packed `PartReply`."""
        return encode_answer(self._backups.answer(command))

    def read(self, questions: bytes) -> bytes:
        """Answers packed questions."""
        return answer_read(lambda: encode_answers(self._reader.answer(decode_questions(questions))))

    def audit(self, request: bytes) -> bytes:
        """Answers a packed request of a verification, on what is published."""
        return answer_audit(self._auditor, self._store, request)

    def status(self) -> bytes:
        """Returns a packed `ShardReport`."""
        counted = self._reader.answer([CountSpaces()])[0]
        assert isinstance(counted, Counted)
        store = self._store
        report = ShardReport(
            counted.events,
            counted.identifiers,
            counted.profiles,
            len(self._machine.pending),
            store.next_number - 1,
            store.checkpoint_position,
            store.size_bytes(),
            store.size_bytes_max(),
            store.is_full,
            self._started_us,
        )
        return encode_answer(encode_report(report))

    def ping(self) -> bool:
        """Says that the actor is up."""
        return True


def shard_options(name: str) -> dict[str, object]:
    """Returns how a shard actor is made: detached, restarted for ever, a thread for each group."""
    return {
        "name": name,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
    }


for _method, _group in {
    "append": "write",
    "push": "write",
    "look_up": "write",
    "list_pending": "write",
    "fill_search": "write",
    "clear_owed": "write",
    "list_owed": "write",
    "close": "write",
    "read": "read",
    "audit": "read",
    "status": "read",
    "ping": "read",
    "back_up": "backup",
}.items():
    setattr(ShardActor, _method, ray.method(concurrency_group=_group)(getattr(ShardActor, _method)))
