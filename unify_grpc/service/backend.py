"""What the edges need of the cluster. `actors` implements it with Ray, tests in process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from unify_grpc.machines.control_machine import Directory, NewSpace, SpaceCreated
    from unify_grpc.machines.links import Append, Decided, PendingLink
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap


class CommandFailedError(Exception):
    """An actor could not handle a command, which had no effect; trying again would not help."""


class Backend(Protocol):
    """Calls to actors. Each is repeated until it is answered, or until its caller gives up.

    Raises, all of them: `ShardUnavailableError` when an actor stays away too long,
    `StoreFullError` when it has no room, `CommandFailedError` when it could not handle it.
    """

    @property
    def shard_map(self) -> ShardMap:
        """Which shard owns what."""

    async def append(self, shard: int, batch: bytes) -> Append:
        """Stores a packed batch at a shard."""

    async def link(self, links: list[PendingLink]) -> list[Decided]:
        """Has links decided, in their order; returns when they are visible."""

    async def read(self, shard: int, questions: list[Question]) -> list[Answer]:
        """Has a shard answer questions."""

    async def directory(self) -> Directory:
        """Returns the spaces and who may call."""

    async def create_space(self, command: NewSpace) -> SpaceCreated:
        """Makes a space."""
