"""`TailEvents`: the events of a space as they are stored, for as long as the caller listens.

Each caller reads the logs from where it is, so nobody misses anything and nobody waits for a slow
one. What all callers of a space share is the question whether there is anything new.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, operations_service_pb2
from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.machines.batch import EVENT_TYPES, TYPE_CODES
from unify_grpc.machines.control_records import WRITE_KEY
from unify_grpc.machines.list_questions import NEWEST, TailSpace
from unify_grpc.machines.space_records import tail_space
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.checks import check_count
from unify_grpc.service.errors import UnifyError
from unify_grpc.service.faults import Faults
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.profile_wire import event_to_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unify_grpc.machines.list_questions import TailedEvent
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.draining import Draining
    from unify_grpc.service.profile_reads import ProfileReader

POLL_INTERVAL_S: Final = 0.15
WAIT_S_MAX: Final = 0.5
"""Without news; then the credential is looked at again, and whether the gateway stops."""
QUIET_S_MAX: Final = 5.0
"""Without a response although events went by: then one only moves the token on."""
EVENTS_AT_ONCE: Final = 200
SOURCES_MAX: Final = 100
_COLLECTIONS = (USERS, ACCOUNTS)


@dataclass(slots=True)
class _Poll:
    """One space that somebody tails."""

    ends: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting_count: int = 0
    task: asyncio.Task[None] | None = None
    is_over: bool = False

    def is_beyond(self, positions: list[int]) -> bool:
        """Whether a shard's log goes on after its position."""
        pairs = zip(self.ends, positions, strict=False)
        return any(end > position for end, position in pairs)


class TailPulse:
    """Tells who tails a space when it has something new; asks the shards once for all of them."""

    def __init__(self, reader: ProfileReader) -> None:
        self._reader = reader
        self._polls: dict[int, _Poll] = {}

    async def wait(self, space: int, positions: list[int], timeout_s: float) -> None:
        """Returns when a shard may have gone beyond its position, or after a while."""
        poll = self._polls.setdefault(space, _Poll())
        poll.waiting_count += 1
        if poll.task is None:
            poll.task = asyncio.get_running_loop().create_task(self._poll(space, poll))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while not poll.is_over and not poll.is_beyond(positions):
                        await poll.changed.wait()
        finally:
            poll.waiting_count -= 1

    async def _poll(self, space: int, poll: _Poll) -> None:
        """Asks as long as somebody waits."""
        question = TailSpace(space, NEWEST, [], [], 0)
        try:
            while poll.waiting_count:
                page = await self._reader.run(tail_space(self._reader.shard_map, question, None))
                poll.ends = page.positions
                changed, poll.changed = poll.changed, asyncio.Event()
                changed.set()
                await asyncio.sleep(POLL_INTERVAL_S)
        except (UnifyError, CommandFailedError):
            pass  # whoever reads next hears of it
        finally:
            self._polls.pop(space, None)
            poll.is_over = True
            poll.changed.set()


class Tailing:
    """Serves `TailEvents`."""

    def __init__(
        self, reader: ProfileReader, directory: SpaceDirectory, draining: Draining
    ) -> None:
        self._reader = reader
        self._directory = directory
        self._draining = draining
        self._pulse = TailPulse(reader)

    async def tail(self, request: Any, call: Call) -> AsyncIterator[Any]:
        """Yields the events to come, each as its `TailEventsResponse`.

        Raises:
            RequestInvalidError: with every field at fault.
            CredentialInvalidError: the caller's key does not hold any more.
            ShardUnavailableError: a shard is away, or the gateway stops.
        """
        faults = Faults()
        scope = scope_of("TailEvents", call.space.record.number, request)
        key = self._directory.signing_key
        with faults:
            question = self._question(request, call.space)
        with faults:
            positions = read_token(key, scope, request.resume_token, list[int], "resume_token")
        faults.refuse()
        told: list[int] | None = positions
        told_at = time.monotonic()
        while True:
            page = await self._reader.run(tail_space(self._reader.shard_map, question, positions))
            positions = positions or list(page.positions)
            for tailed, shard, root in page.events:
                positions[shard] = tailed.position + 1
                token = make_token(key, scope, positions)
                yield self._response(tailed, root, token, call)
                told, told_at = list(positions), time.monotonic()
            positions = page.positions
            is_late = time.monotonic() - told_at > QUIET_S_MAX
            if told is None or (is_late and positions != told):
                told, told_at = list(positions), time.monotonic()
                yield self._moved(make_token(key, scope, positions), call)
            self._draining.check()
            call.check_again()
            if page.is_end:
                await self._pulse.wait(question.space, positions, WAIT_S_MAX)

    def _response(self, tailed: TailedEvent, root: bytes, token: str, call: Call) -> Any:
        event = tailed.event
        wire = self._moved(token, call)
        is_masked = not call.caller.has("pii")
        wire.event.CopyFrom(event_to_wire(event, self._directory, is_masked=is_masked))
        if root:
            wire.segment_id = segment_id_of(_COLLECTIONS[event.collection], root)
        return wire

    @staticmethod
    def _moved(token: str, call: Call) -> Any:
        return operations_service_pb2.TailEventsResponse(
            resume_token=token, header=header_pb2.ReplyHeader(request_id=call.request_id)
        )

    def _question(self, request: Any, space: Space) -> TailSpace:
        faults = Faults()
        if any(name not in TYPE_CODES for name in request.types):
            faults.add("types", "are of " + ", ".join(EVENT_TYPES))
        with faults:
            check_count("source_ids", request.source_ids, SOURCES_MAX)
        sources = {
            each.credential_id: each.source
            for each in self._directory.credentials_of(space, WRITE_KEY)
        }
        if any(name not in sources for name in request.source_ids):
            faults.add("source_ids", "names no source of the space")
        faults.refuse()
        return TailSpace(
            space.record.number,
            NEWEST,
            [TYPE_CODES[name] for name in request.types],
            [sources[name] for name in request.source_ids],
            EVENTS_AT_ONCE,
        )
