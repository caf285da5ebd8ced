"""The Tracking API of a gateway over machines in process, and a caller of it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, cast

import httpx

from tests.engine.in_process import InProcessService
from tests.unit.service.machine_backend import MachineBackend, OneSpace
from unify_grpc.http.app import build_app
from unify_grpc.http.edge import Edge
from unify_grpc.identity.outcomes import RejectionReason
from unify_grpc.machines.batch import FLAG_REFUSED, Batch, Body, Frame
from unify_grpc.machines.control_records import ACCESS_TOKEN, WRITE_KEY, Credential
from unify_grpc.machines.refusals import RefusedBody, refusal_in
from unify_grpc.service.directory import Caller, _key_in
from unify_grpc.service.draining import Draining
from unify_grpc.service.errors import CredentialInvalidError
from unify_grpc.service.ingestion import Ingestor
from unify_grpc.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_grpc.machines.links import Append

KEY = "WRITEKEY"
TOKEN = "a-token"
KINDS = {KEY: WRITE_KEY, TOKEN: ACCESS_TOKEN}
JSON = "application/json"


class NotedBackend(MachineBackend):
    """Remembers what it was sent."""

    def __init__(self, rules: dict[str, Any]) -> None:
        super().__init__()
        self.service = InProcessService(rules, shards=3)
        self.stored: dict[str, tuple[Frame, Body]] = {}
        """By message id, of the user's side or the only one."""
        self.packed: dict[str, bytes] = {}
        """By message id, of the same, the body as it is stored."""
        self.refused: list[RefusedBody] = []
        self.failure: Exception | None = None
        """What appends fail with."""

    async def append(self, shard: int, batch: bytes) -> Append:
        """Stores a batch."""
        if self.failure is not None:
            raise self.failure
        opened = Batch(batch)
        for index in range(len(opened.offsets)):
            frame = opened.frame(index)
            if frame.flags & FLAG_REFUSED:
                self.refused.append(refusal_in(opened, index, frame))
                continue
            body = opened.body(index, frame)
            self.stored.setdefault(body.message_id, (frame, body))
            self.packed.setdefault(body.message_id, bytes(opened.body_bytes(index, frame)))
        return await super().append(shard, batch)


class KeyedSpace(OneSpace):
    """A directory of one space with a write key and an access token."""

    is_current = True

    async def authenticate(self, authorization: str, space_name: str) -> Caller:
        """Returns who calls."""
        del space_name
        key = _key_in(authorization)
        if key not in KINDS:
            raise CredentialInvalidError
        credential = Credential(1, 1, 1, b"", KINDS[key], 1, 1, "src_1", "a", ["read"], 0)
        return Caller(credential, self.space)

    def check_again(self, caller: Caller) -> Caller:
        """Returns a caller that was let in as it is by now."""
        if caller.credential.kind not in KINDS.values():
            raise CredentialInvalidError
        return Caller(caller.credential, self.space)


class TrackingEdge:
    """A gateway's HTTP side."""

    def __init__(self, rules: dict[str, Any] | None = None, **settings: Any) -> None:
        self.backend = NotedBackend(rules or {})
        self.directory = KeyedSpace(self.backend)
        self.settings = Settings(**settings)
        self.pauses: list[float] = []
        """How long refusals were held back, in seconds; they were not really."""
        ingestor = Ingestor(
            cast("Any", self.backend),
            cast("Any", self.directory),
            queue_events_max=self.settings.queue_events_max,
        )
        self.edge = Edge(
            ingestor=ingestor,
            reader=cast("Any", None),
            deleter=cast("Any", None),
            directory=cast("Any", self.directory),
            draining=Draining(),
            settings=self.settings,
            pause=self._pause,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(build_app(self.edge)), base_url="http://unify.test"
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def post(
        self, path: str, message: object, *, key: str | None = KEY, **headers: str
    ) -> httpx.Response:
        """Posts JSON with the write key; names of headers have `_` for `-`."""
        return await self.send(path, json.dumps(message).encode(), key=key, **headers)

    async def send(
        self, path: str, body: bytes, *, key: str | None = KEY, **headers: str
    ) -> httpx.Response:
        """Posts a body as it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named.setdefault("authorization", basic(key))
        async with asyncio.timeout(10):
            return await self.client.post(path, content=body, headers=named)

    def body(self, message_id: str) -> Body:
        """Returns a stored event's body."""
        return self.backend.stored[message_id][1]

    def context(self, message_id: str) -> Any:
        """Returns a stored event's context."""
        return json.loads(self.body(message_id).context)

    def reasons(self) -> list[str]:
        """Returns why events were refused, in their order."""
        return [RejectionReason(each.reason).name for each in self.backend.refused]

    def segment_id(self, identifier: str, collection: str = "users") -> str | None:
        """Returns the profile of an identifier."""
        return self.backend.service.segment_id(identifier, collection)

    def traits(self, identifier: str, collection: str = "users") -> dict[str, Any]:
        """Returns the traits of an identifier's profile."""
        return self.backend.service.traits(identifier, collection)

    def events(self, identifier: str, collection: str = "users") -> list[str]:
        """Returns the message ids of an identifier's profile."""
        return self.backend.service.events(identifier, collection)


async def until(holds: Callable[[], object]) -> None:
    """Lets others go on until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)


def basic(key: str) -> str:
    """Returns an `authorization` with a key as user name."""
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def fault(response: httpx.Response) -> tuple[int, str]:
    """Returns the status and code of a refusal, which has the form of all."""
    content = response.json()
    assert content["success"] is False
    assert content["message"]
    assert JSON == response.headers["content-type"]
    return response.status_code, content["code"]
