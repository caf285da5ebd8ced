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
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import msgspec

from unify_grpc.storage.errors import StorageFullError
from unify_grpc.storage.store import Store, StoreLimits
from unify_grpc.telemetry.logs import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.tables import Changes, Decision
    from unify_grpc.storage.manifest import Manifest

_PAUSE_S = 0.5
"""Before a process that could not start ends, so that restarts do not spin."""
EXIT_CODE = 70
STORAGE_FULL: Final = "storage full"
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


def open_store(hosted: HostedStore, machine_version: int) -> Store:
    """Opens an actor's store."""
    return Store(hosted.directory, hosted.manifest, machine_version, hosted.limits)


def replay_tail(
    store: Store, machine: Replayable, committed: Callable[[Changes], object] | None
) -> int:
    """Brings a machine up to the end of its log; returns how many records that took."""
    machine.load()
    count = 0
    for number, record in store.tail():
        changes = machine.replay(number, record)
        store.publish(changes, number)
        if committed is not None:
            committed(changes)
        count += 1
    return count


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
    except Exception as error:  # noqa: BLE001 - nothing was changed, so nobody else suffers
        get_logger(part).exception("command_failed", error=type(error).__name__)
        return encode_refusal(FAILED)
    try:
        if decision.record is not None:
            number = store.append(decision.record)
            store.publish(decision.changes, number)
            committed(decision.changes)
        return encode_answer(_encode(decision.reply))
    except StorageFullError:
        get_logger(part).warning("storage_full")
        return encode_refusal(STORAGE_FULL)
    except Exception as error:  # noqa: BLE001 - nothing may go on after it
        end_process(part, error)


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
