"""A part that a verification ends is not ended again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import ray

from actors import ray_backend
from actors.ray_backend import RayBackend
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service.errors import ShardUnavailableError
from unify_grpc.settings import Settings
from unify_grpc.verification.messages import Walk, encode

if TYPE_CHECKING:
    from collections.abc import Callable


class _Remote:
    """A method of an actor as Ray gives it."""

    def __init__(self, call: Callable[[], bytes | bool]) -> None:
        self._call = call

    async def remote(self, *_: object) -> bytes | bool:
        """Calls it."""
        return self._call()


class _FragileActor:
    """Ends at every audit, and is back for the third ping after it."""

    def __init__(self) -> None:
        self.audits_count = 0
        self.pings_count = 0
        self.audit = _Remote(self._audit)
        self.ping = _Remote(self._ping)

    def _audit(self) -> bytes:
        self.audits_count += 1
        raise ray.exceptions.ActorUnavailableError("gone", b"")

    def _ping(self) -> bool:
        self.pings_count += 1
        if self.pings_count < 3:
            raise ray.exceptions.ActorUnavailableError("gone", b"")
        return True


async def test_a_walk_that_ends_its_part_is_repeated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part is awaited before, and what is told names it and the walk."""
    actor = _FragileActor()
    monkeypatch.setattr(ray, "get_actor", lambda *_, **__: actor)
    monkeypatch.setattr(ray_backend, "RETRY_PAUSE_S", 0)
    backend = RayBackend(ShardMap(2), Settings())
    with pytest.raises(ShardUnavailableError) as told:
        await backend.audit(1, encode(Walk(["log", "events"], b"", 9, 9)))

    facts: dict[str, Any] = told.value.metadata
    assert (2, 3) == (actor.audits_count, actor.pings_count)
    assert {"actor": "shard-1", "walk": "log"} == facts
    assert "shard-1 ended twice while it was verified: log." == str(told.value)
