"""The Profile API of a gateway over machines in process: two spaces, real keys, a caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httpx

from tests.engine.in_process import InProcessService
from tests.unit.http.tracking_edge import basic
from tests.unit.service.control_backend import ControlBackend
from unify_grpc.http.app import build_app
from unify_grpc.http.edge import Edge
from unify_grpc.machines.deletions import DeleteCommand, Deleted
from unify_grpc.service.deleting import Deleter
from unify_grpc.service.directory import SpaceDirectory
from unify_grpc.service.draining import Draining
from unify_grpc.service.profile_reads import ProfileReader
from unify_grpc.settings import Settings

if TYPE_CHECKING:
    from unify_grpc.machines.reads import Answer, Question

ADMIN, OWNER, READER, MASKED, DELETER, WRITER = (
    "admin",
    "token-one",
    "token-reader",
    "token-masked",
    "token-deleter",
    "write-one",
)
"""An admin token; tokens of space `one` with `read` and `pii`, the same, `read`, and all; a write
key."""
FIRST_US = 1_700_000_000_000_000
"""2023-11-14T22:13:20Z: when messages are received that say nothing else."""


class ReadableBackend(ControlBackend):
    """Spaces and keys by a real control, profiles by real shards and a merge actor."""

    def __init__(self) -> None:
        super().__init__(shards=3)
        self.service = InProcessService({}, shards=3)
        self.failure: Exception | None = None
        """What reads fail with."""
        self.held: asyncio.Event | None = None
        """What reads wait for."""

    async def read(self, shard: int, questions: list[Question]) -> list[Answer]:
        """Has a shard answer questions."""
        if self.failure is not None:
            raise self.failure
        if self.held is not None:
            await self.held.wait()
        return self.service.shards[shard].reader.answer(questions)

    async def delete(self, command: DeleteCommand) -> Deleted:
        """Parts a profile from an identifier."""
        service = self.service
        service.calls += 1
        next_number = service.merge_store.next_number
        service.run_merge(service.merge.delete(service.calls, command, next_number))
        return service.deleted.pop()


class ProfileEdge:
    """A gateway's HTTP side."""

    def __init__(self, **settings: Any) -> None:
        self.backend = ReadableBackend()
        control = self.backend.control
        control.create("one")
        control.create("two")
        control.create_token("reader", scopes=["read", "pii"])
        control.create_token("masked", scopes=["read"])
        control.create_token("deleter", scopes=["read", "pii", "delete"])
        backend = cast("Any", self.backend)
        self.directory = SpaceDirectory(backend, clock=self.backend.clock)
        reader = ProfileReader(backend)
        self.edge = Edge(
            ingestor=cast("Any", None),
            reader=reader,
            deleter=Deleter(backend, reader),
            directory=self.directory,
            draining=Draining(),
            settings=Settings(**settings),
            clock=self.backend.clock,
            pause=_no_pause,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(build_app(self.edge)), base_url="http://unify.test"
        )

    async def open(self, *messages: dict[str, Any], space: str = "one") -> None:
        """Loads the directory, and has a space hold what came of messages."""
        await self.directory.renew()
        service = self.backend.service
        service.space = self.directory.find_space(space).view
        service.documents.setdefault(service.space.number, [{}])
        for at, message in enumerate(messages):
            each = {"received_at": FIRST_US + at, "messageId": f"m{at}", **message}
            assert service.send(each).status == "STORED"

    async def get(self, path: str, token: str = OWNER, **params: Any) -> httpx.Response:
        """Asks for something of a space's collection, by the rest of its path."""
        async with asyncio.timeout(10):
            return await self.client.get(
                path if path.startswith("/") else f"/v1/spaces/one/collections/{path}",
                params=params or None,
                headers={"authorization": basic(token)},
            )

    async def delete(
        self, profile: str, body: bytes, token: str = DELETER, collection: str = "users"
    ) -> httpx.Response:
        """Asks to delete what a body names."""
        path = f"/v1/spaces/one/collections/{collection}/profiles/{profile}/external_ids/delete"
        async with asyncio.timeout(10):
            return await self.client.post(
                path, content=body, headers={"authorization": basic(token)}
            )


def error(response: httpx.Response) -> tuple[int, str]:
    """Returns the status and code of a refusal, which has the form of all."""
    content = response.json()
    assert {"error"} == set(content)
    assert {"code", "message"} == set(content["error"])
    assert content["error"]["message"]
    assert response.headers["request-id"]
    return response.status_code, content["error"]["code"]


def identify(user: str, **fields: Any) -> dict[str, Any]:
    """Returns an identify call."""
    return {"type": "identify", "userId": user, **fields}


def track(user: str, event: str, **fields: Any) -> dict[str, Any]:
    """Returns a track call."""
    return {"type": "track", "userId": user, "event": event, **fields}


async def _no_pause(seconds: float) -> None:
    """What is held back is answered at once."""
    del seconds
