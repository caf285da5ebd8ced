"""The merge actor: executes what its machine decides, and talks to the shards for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from actors import names
from actors.auditing import answer_audit
from actors.hosting import (
    STORAGE_FULL,
    WAITS_FOR_ROOM,
    HostedStore,
    RefusedError,
    answer_read,
    decode_answer,
    encode_answer,
    encode_refusal,
    end_process,
    open_store,
    prepare_process,
    refuse_full,
    replay_tail,
)
from actors.waiting_calls import WaitingCalls
from unify_grpc.machines.control_records import decode_rules
from unify_grpc.machines.deletions import decode_command
from unify_grpc.machines.link_counts import read_counts
from unify_grpc.machines.links import LookedUp, PendingLink, Void, decoder, encode
from unify_grpc.machines.merge_machine import MACHINE_VERSION, MergeMachine
from unify_grpc.machines.merge_messages import Answer, AskRules, DeleteAnswer, LookUp, SendPush
from unify_grpc.machines.merge_reader import MergeReader
from unify_grpc.machines.merge_reads import decode_question
from unify_grpc.machines.part_reports import MergeReport, encode_report
from unify_grpc.machines.sweeping import in_order
from unify_grpc.storage.backing_up import StoreBackups
from unify_grpc.storage.errors import StorageFullError
from unify_grpc.telemetry.logs import get_logger
from unify_grpc.verification.auditors import MergeAuditor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from unify_grpc.machines.deletions import Deleted
    from unify_grpc.machines.link_counts import LinkCounts
    from unify_grpc.machines.links import Decided
    from unify_grpc.machines.merge_messages import Message
    from unify_grpc.machines.tables import Decision
    from unify_grpc.placement.slots import ShardMap

SWEEP_INTERVAL_S = 1.0
SWEEP_AGE_US = 1_000_000
SWEEP_LINKS_MAX = 1000
RETRY_PAUSE_S = 0.1
FULL_PAUSE_S = 0.5
"""Before a write is tried again that found no room, here or at a shard."""
REFUSED_PAUSE_S_MAX = 5.0
"""The longest before a call is made again that a shard refused for another reason."""
FULL_WAIT_S = 1.0
"""How long callers wait for a shard without room; what was decided goes on without them."""
CALL_TIMEOUT_S = 10.0

_links = decoder(list[PendingLink]).decode
_found = decoder(list[LookedUp]).decode
_voids = decoder(list[Void]).decode


class _ClosedError(Exception):
    """The actor was closed in the middle of a command."""


class MergeActor:
    """Owns the journal of links. One command at a time is handled and made durable."""

    def __init__(self, shard_map: ShardMap, hosted: HostedStore) -> None:
        """Opens the store and replays its tail; a failure ends the process, never the actor."""
        try:
            prepare_process(hosted)
            self._log = get_logger(names.MERGE)
            self._started_us = time.time_ns() // 1000
            self._store = open_store(hosted, MACHINE_VERSION)
            self._machine = MergeMachine(self._store, shard_map)
            replayed = replay_tail(self._store, self._machine, None)
            self._shard_map = shard_map
            self._commits = ThreadPoolExecutor(1, "commit")
            self._reads = ThreadPoolExecutor(1, "read")
            self._reader = MergeReader(self._store)
            self._auditor = MergeAuditor(shard_map)
            self._backups = StoreBackups(self._store, hosted.manifest)
            self._backup_calls = ThreadPoolExecutor(1, "backup")
            self._turn = asyncio.Lock()
            self._tasks: set[asyncio.Task[None]] = set()
            self._handles: dict[str, Any] = {}
            """Of the actors it calls, by name."""
            self._requests = 0
            self._answers: WaitingCalls[list[Decided]] = WaitingCalls()
            self._deletions: WaitingCalls[Deleted] = WaitingCalls()
            self._deleting: dict[int, bytes] = {}
            """Request ids of deletions under way, also of those that nobody waits for now."""
            self._waits_for_room = False
            self._is_started = False
            self._is_closed = False
            self._log.info(
                "merge_actor_started",
                replay_ms=replayed.took_ms,
                records_replayed_count=replayed.records_count,
            )
        except BaseException as error:  # noqa: BLE001 - a raise here would be for good
            end_process(names.MERGE, error)

    async def start(self) -> bool:
        """Pushes again what was not confirmed, and begins to sweep. Repeats do nothing."""
        if not self._is_started:
            self._is_started = True
            try:
                self._send(self._machine.recover(self._store.next_number - 1))
            except Exception as error:  # noqa: BLE001 - half recovered it must not go on
                end_process(names.MERGE, error)
            self._spawn(self._sweep())
        return True

    async def link(self, data: bytes) -> bytes:
        """Decides packed links in the order of the calls; returns packed `Decided` when visible."""
        await self.start()
        if not self._has_room_for_links():
            return self._refuse_full("links stay pending until there is room")
        links = _links(data)
        self._requests += 1
        request = self._requests
        answer = self._answers.add(request)
        command = self._handle(lambda: self._machine.link(request, links, self._store.next_number))
        return await self._answered(command, answer)

    async def delete(self, data: bytes) -> bytes:
        """Parts a profile from an identifier; returns a packed `Deleted` when all shards know."""
        await self.start()
        deletion = decode_command(data)
        if self._waits_for_room or not self._store.room.has_for_one():
            if deletion.request_id in self._deleting.values():
                return encode_refusal(WAITS_FOR_ROOM)
            return self._refuse_full("nothing fits into the journal")
        self._requests += 1
        request = self._requests
        self._deleting[request] = deletion.request_id
        answer = self._deletions.add(request)
        command = self._handle(
            lambda: self._machine.delete(request, deletion, self._store.next_number)
        )
        return await self._answered(command, answer)

    async def _answered(
        self, command: Coroutine[Any, Any, None], answer: asyncio.Future[Any]
    ) -> bytes:
        """Begins a command; returns its packed answer, or why nobody should wait for it."""
        self._spawn(command)
        try:
            return encode_answer(encode(await answer))
        except RefusedError as refused:
            return encode_refusal(str(refused))

    def _has_room_for_links(self) -> bool:
        return not self._waits_for_room and self._store.room.has_for_events()

    def _refuse_full(self, why: str) -> bytes:
        return refuse_full(names.MERGE, self._store, why)

    async def adopt_rules(self, space: int, version: int, document: bytes) -> bytes:
        """Takes a space's rules over; later decisions keep to them."""
        await self.start()
        await self._handle(
            lambda: self._machine.adopt_rules(space, version, document, self._store.next_number)
        )
        return encode_answer(b"")

    async def explain(self, data: bytes) -> bytes:
        """Says, in a thread of its own beside the decisions, how two identifiers were linked."""
        question = decode_question(data)
        return await asyncio.get_running_loop().run_in_executor(
            self._reads, answer_read, lambda: encode(self._reader.explain(question))
        )

    async def audit(self, request: bytes) -> bytes:
        """Answers a packed request of a verification, in the thread of `explain`."""
        return await asyncio.get_running_loop().run_in_executor(
            self._reads, answer_audit, self._auditor, self._store, request
        )

    async def status(self) -> bytes:
        """Returns a packed `MergeReport`."""
        # Beside the decisions, like `explain`: `Store.get` is the writer's alone.
        loop = asyncio.get_running_loop()
        decided, merges = await loop.run_in_executor(self._reads, self._read_counts)
        report = MergeReport(
            decided,
            merges,
            self._store.next_number - 1,
            self._machine.rounds_unconfirmed,
            self._store.is_full,
            self._started_us,
        )
        return encode_answer(encode_report(report))

    def _read_counts(self) -> LinkCounts:
        with self._store.reading() as view:
            return read_counts(view.get)

    async def close(self) -> bool:
        """Checkpoints and releases the store, so that no tail is left; call nothing after it."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._backup_calls, self._backups.close)
        await asyncio.get_running_loop().run_in_executor(self._commits, self._reads.shutdown)
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._commits, self._store.close)
        return True

    async def back_up(self, command: bytes) -> bytes:
        """Does the store's part in a backup; returns a packed `PartReply`."""
        loop = asyncio.get_running_loop()
        return encode_answer(
            await loop.run_in_executor(self._backup_calls, self._backups.answer, command)
        )

    async def ping(self) -> bool:
        """Says that the actor is up."""
        return await self.start()

    async def _handle(self, decide: Callable[[], Decision[Message, None]]) -> None:
        """Handles one command: decide, make durable, publish, send."""
        async with self._turn:
            if self._is_closed:
                return
            try:
                with contextlib.suppress(_ClosedError):
                    await self._execute(decide())
            except Exception as error:  # noqa: BLE001 - nothing may go on after it
                end_process(names.MERGE, error)

    async def _execute(self, decision: Decision[Message, None]) -> None:
        while True:
            messages = list(decision.messages)
            if decision.record is None:
                self._send(messages)
                return
            number = await self._append(decision.record)
            self._store.publish(decision.changes, number)
            messages.extend(self._machine.committed(decision, number))
            self._send(messages)
            decision = self._machine.go_on(self._store.next_number)

    async def _append(self, record: bytes) -> int:
        """Makes a record durable. While it does not fit it waits, but its callers do not.

        Raises:
            _ClosedError: the actor is closed while it waits; the record is not durable.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                number = await loop.run_in_executor(self._commits, self._store.append, record)
            except StorageFullError as error:
                self._waits_for_room = True
                self._answers.refuse(self._refuse_full(str(error))[1:].decode())
                self._deletions.refuse(WAITS_FOR_ROOM)
                if self._is_closed:
                    raise _ClosedError from error
                await asyncio.sleep(FULL_PAUSE_S)
            else:
                self._waits_for_room = False
                return number

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case Answer(request, decided):
                    self._answers.answer(request, decided)
                case DeleteAnswer(request, deleted):
                    self._deleting.pop(request, None)
                    self._deletions.answer(request, deleted)
                case LookUp():
                    self._spawn(self._look_up(message))
                case SendPush():
                    self._spawn(self._push(message))
                case AskRules():
                    self._spawn(self._ask_rules(message))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            end_process(names.MERGE, task.exception() or RuntimeError())

    async def _look_up(self, message: LookUp) -> None:
        keys = msgspec.msgpack.encode(message.keys)
        data = await self._ask_shard(message.shard, "look_up", keys)
        found = _found(data)
        await self._handle(
            lambda: self._machine.looked_up(
                message.round, message.shard, found, self._store.next_number
            )
        )

    async def _push(self, message: SendPush) -> None:
        data = await self._ask_shard(message.shard, "push", message.push)
        voids = _voids(data)
        await self._handle(
            lambda: self._machine.pushed(
                message.shard, message.number, voids, self._store.next_number
            )
        )

    async def _ask_rules(self, message: AskRules) -> None:
        data = await self._ask(names.CONTROL, "newest_rules", message.space)
        rules = decode_rules(data)
        await self._handle(
            lambda: self._machine.adopt_rules(
                message.space, rules.version, rules.document, self._store.next_number
            )
        )
        await self._handle(lambda: self._machine.go_on(self._store.next_number))

    async def _ask_shard(self, shard: int, method: str, *args: Any) -> bytes:
        return await self._ask(names.shard_name(shard), method, *args)

    async def _ask(self, name: str, method: str, *args: Any) -> bytes:
        """Calls an actor until it answers; every command is idempotent, so repeats are harmless."""
        pause_s = RETRY_PAUSE_S
        while True:
            try:
                reference = getattr(self._actor(name), method).remote(*args)
                return decode_answer(await asyncio.wait_for(reference, CALL_TIMEOUT_S))
            except RefusedError as refused:
                pause_s = self._note_refused(name, method, str(refused), pause_s)
                await asyncio.sleep(pause_s)
            except (ray.exceptions.RayError, ValueError, TimeoutError) as error:
                self._handles.pop(name, None)
                self._log.warning(
                    "call_failed", actor=name, method=method, error=type(error).__name__
                )
                await asyncio.sleep(RETRY_PAUSE_S)

    def _actor(self, name: str) -> Any:
        """Returns an actor's handle, looked up once; `ValueError` if there is none."""
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = ray.get_actor(name, namespace=names.NAMESPACE)
        return handle

    def _note_refused(self, name: str, method: str, reason: str, pause_s: float) -> float:
        """Takes it that an actor refused a call; returns the pause before it is made again."""
        if reason.startswith(STORAGE_FULL):
            self._answers.refuse(reason, waited_s_min=FULL_WAIT_S)
            self._deletions.refuse(WAITS_FOR_ROOM, waited_s_min=FULL_WAIT_S)
            if self._store.room.is_worth_saying():
                self._log.warning("call_refused", actor=name, method=method, reason=reason)
            return FULL_PAUSE_S
        self._log.warning("call_refused", actor=name, method=method, reason=reason)
        return min(2 * pause_s, REFUSED_PAUSE_S_MAX)

    async def _sweep(self) -> None:
        """Takes over links that nobody handed over, once they are a second old.

        Younger ones may have earlier ones of their stream still on their way to another shard.
        """
        loop = asyncio.get_running_loop()
        while not self._is_closed:
            async with self._turn:
                if not self._is_closed:
                    await loop.run_in_executor(self._commits, self._store.tend)
            before_us = time.time_ns() // 1000 - SWEEP_AGE_US
            shards = range(self._shard_map.shard_count)
            listed = await asyncio.gather(*(self._list_pending(each, before_us) for each in shards))
            links = in_order(listed, SWEEP_LINKS_MAX)
            if links and self._has_room_for_links():
                self._log.info("links_swept", links_count=len(links))
                await self._handle_links(links)
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def _list_pending(self, shard: int, before_us: int) -> list[PendingLink]:
        return _links(await self._ask_shard(shard, "list_pending", before_us, SWEEP_LINKS_MAX))

    async def _handle_links(self, links: list[PendingLink]) -> None:
        await self._handle(lambda: self._machine.link(None, links, self._store.next_number))


def merge_options() -> dict[str, object]:
    """Returns how the merge actor is made: detached, restarted for ever, one loop."""
    return {
        "name": names.MERGE,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": 1000,
    }
