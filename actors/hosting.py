"""What every actor does around its machine: open its store, replay, end rather than limp."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol

import msgspec

from unify_grpc.storage.errors import StorageCorruptError, StorageFullError, StoreHeldError
from unify_grpc.storage.room import Full
from unify_grpc.storage.store import Store, StoreLimits
from unify_grpc.telemetry.logs import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.tables import Changes, Decision
    from unify_grpc.storage.manifest import Manifest

_PAUSE_S = 0.5
"""Before a process that could not start ends, so that restarts do not spin."""
HELD_S: Final = 15.0
"""How long an actor waits for its store."""
_HELD_PAUSE_S = 0.05
EXIT_CODE = 70
STORAGE_FULL: Final = "storage full"
"""Begins a refusal; what is full follows it, as in `Full`."""
WAITS_FOR_ROOM: Final = "waits for room"
"""The command has begun, and goes on when there is room; it can be asked for again."""
DAMAGED: Final = "damaged"
FAILED: Final = "failed"
LOG_FILE: Final = "actor.log"
"""In the actor's store: Ray would put what it prints where nobody looks."""
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class HostedStore:
    """What an actor needs to open its store, also after a restart."""

    directory: Path
    manifest: Manifest
    limits: StoreLimits
    log_level: str


class Replayable(Protocol):
    """A machine whose state follows from its log."""

    def load(self) -> None:
        """Reads what it keeps in memory from a checkpointed view."""

    def replay(self, number: int, record: bytes) -> Changes:
        """Returns the changes that a record stands for."""


class Replayed(NamedTuple):
    """What bringing a machine up to date took."""

    records_count: int
    bytes_count: int
    took_ms: float


def open_store(hosted: HostedStore, machine_version: int) -> Store:
    """Opens an actor's store, once the process that had it has ended.

    One that was killed holds it until the system is done with it, and Ray may be faster.
    """
    give_up = time.monotonic() + HELD_S
    while True:
        try:
            return Store(hosted.directory, hosted.manifest, machine_version, hosted.limits)
        except StoreHeldError:
            if time.monotonic() > give_up:
                raise
        time.sleep(_HELD_PAUSE_S)


def replay_tail(
    store: Store, machine: Replayable, committed: Callable[[Changes], object] | None
) -> Replayed:
    """Brings a machine up to the end of its log; returns what that took."""
    began = time.monotonic()
    machine.load()
    count = bytes_count = 0
    for number, record in store.tail():
        changes = machine.replay(number, record)
        store.publish(changes, number)
        if committed is not None:
            committed(changes)
        count += 1
        bytes_count += len(record)
    return Replayed(count, bytes_count, round((time.monotonic() - began) * 1000, 1))


def execute(
    part: str,
    store: Store,
    decide: Callable[[], Decision[Any, Any]],
    committed: Callable[[Changes], object],
) -> bytes:
    """Executes what a machine decides: make it durable, publish it, answer.

    What fails before the commit refuses the command, which then had no effect, and so does a full
    disk. Anything after that, above all a commit of unknown outcome, ends the process.
    """
    try:
        decision = decide()
    except StorageCorruptError:
        return encode_refusal(DAMAGED)  # which the store has logged
    except Exception as error:  # noqa: BLE001 - nothing was changed, so nobody else suffers
        get_logger(part).exception("command_failed", error=type(error).__name__)
        return encode_refusal(FAILED)
    try:
        if decision.record is not None:
            number = store.append(decision.record)
            store.publish(decision.changes, number)
            committed(decision.changes)
        return encode_answer(_encode(decision.reply))
    except StorageFullError as error:
        return refuse_full(part, store, str(error))
    except Exception as error:  # noqa: BLE001 - nothing may go on after it
        end_process(part, error)


def execute_bulk(
    part: str,
    store: Store,
    decide: Callable[[], Decision[Any, Any]],
    committed: Callable[[Changes], object],
) -> bytes:
    """Executes what new data comes with; refuses it while no more than the reserve is left."""
    if not store.room.has_for_events():
        return refuse_full(part, store, "what is left is kept for what was accepted before")
    return execute(part, store, decide, committed)


def refuse_full(part: str, store: Store, why: str) -> bytes:
    """Refuses a command that there is no room for; says so in the log now and then."""
    full = store.room.full or Full.DISK
    if store.room.is_worth_saying():
        get_logger(part).warning("storage_full", full=full.value, why=why)
    return encode_refusal(f"{STORAGE_FULL}: {full.value}")


def answer_read(read: Callable[[], bytes]) -> bytes:
    """Answers what only reads; refuses what needs a damaged value, which the store has logged."""
    try:
        return encode_answer(read())
    except StorageCorruptError:
        return encode_refusal(DAMAGED)


def prepare_process(hosted: HostedStore) -> None:
    """Sets up a worker process: logs, and a collector that does not stop the hot path.

    The hot path makes no cycles, and collecting costs 4 µs an event (measured), so collection is
    left to reference counts.
    """
    configure_logging(hosted.log_level, hosted.directory / LOG_FILE)
    # An interrupt at the terminal reaches all processes; the service ends its actors in order.
    # An asynchronous actor is made outside of the main thread, where signals cannot be set.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.disable()


def end_process(part: str, error: BaseException) -> NoReturn:
    """Ends the process at once; Ray starts it again, and the log knows what was durable.

    A constructor that raised would leave the actor dead for good, and one that went on after a
    commit of unknown outcome could answer what is not true.
    """
    try:
        get_logger(part).error("actor_ended", exc_info=error)
        sys.stderr.flush()
        time.sleep(_PAUSE_S)
    finally:  # whatever becomes of the log, a process that must not go on does not
        os._exit(EXIT_CODE)


def encode_answer(payload: bytes) -> bytes:
    """Marks a payload as an answer, not a refusal."""
    return b"\0" + payload


def encode_refusal(reason: str) -> bytes:
    """Marks a refusal: the command had no effect, and why."""
    return b"\1" + reason.encode()


def decode_answer(data: bytes) -> bytes:
    """Returns the payload of an answer; raises `RefusedError` for a refusal."""
    if data[:1] == b"\1":
        raise RefusedError(data[1:].decode())
    return data[1:]


class RefusedError(Exception):
    """An actor refused a command, which had no effect."""
