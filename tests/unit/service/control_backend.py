"""A backend with a real control machine and shards that take everything in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.machines.one_control import OneControl
from unify_grpc.identity.outcomes import Outcome
from unify_grpc.machines.batch import FLAG_PROBE, Batch
from unify_grpc.machines.gateway_leases import GatewayLeases
from unify_grpc.machines.links import Append
from unify_grpc.machines.probing import NOT_HELD
from unify_grpc.placement.slots import ShardMap
from unify_grpc.service.errors import ShardUnavailableError

if TYPE_CHECKING:
    from unify_grpc.machines.control_commands import Administered, AnyCommand
    from unify_grpc.machines.control_records import DirectoryChanges, RulesVersion


class ControlBackend:
    """As much of a `Backend` as spaces and ingest need, in process, with a clock to be set."""

    def __init__(self, *, shards: int = 1) -> None:
        self.now_s = 1000.0
        self.control = OneControl()
        self.control.found("admin")
        self.leases = GatewayLeases(self.now_s)
        self.leases.know_all()
        self.shard_map = ShardMap(shards)
        self.is_up = True
        """Whether control answers."""
        self.renewals = 0
        self.types_asked: list[list[str]] = []
        self.batches: list[list[tuple[int, int]]] = []
        """(space, rules version) of each batch that a shard was sent."""
        self.stale_below = 0
        """Shards refuse rules of an older version."""
        self.adopted: list[tuple[int, int]] = []
        """(space, rules version) that the merge actor was told."""

    def clock(self) -> float:
        """Returns the time, in seconds."""
        return self.now_s

    async def renew_directory(self, gateway: str, revision: int) -> DirectoryChanges | None:
        """Returns what changed since the revision that a gateway holds."""
        self.renewals += 1
        if not self.is_up:
            raise ShardUnavailableError
        self.leases.renewed(gateway, revision, self.now_s)
        return self.control.machine.directory_since(revision)

    async def leave_directory(self, gateway: str) -> None:
        """Forgets a gateway."""
        self.leases.left(gateway)

    async def count_gateways_behind(self, revision: int) -> int:
        """Returns how many live gateways may hold an older revision."""
        return self.leases.count_behind(revision, self.now_s)

    async def administer(self, command: AnyCommand) -> Administered:
        """Carries a command out."""
        return self.control.administer(command)

    async def see_types(self, space: int, types: list[str]) -> None:
        """Has a space meet types."""
        self.types_asked.append(types)
        self.control.execute(self.control.machine.see_types(space, types))

    async def adopt_rules(self, space: int, rules: RulesVersion) -> None:
        """Notes what the merge actor is told."""
        self.adopted.append((space, rules.version))

    async def append(self, shard: int, batch: bytes) -> Append:
        """Takes a batch in, unless its rules are too old."""
        del shard
        opened = Batch(batch)
        self.batches.append(list(opened.rules))
        stale = {space: self.stale_below for space, each in opened.rules if each < self.stale_below}
        if stale:
            return Append(stale, b"", b"", [], {})
        self.stale_below = max(version for _, version in opened.rules)
        count = len(opened.offsets)
        frames = [opened.frame(index) for index in range(count)]
        statuses = [NOT_HELD if each.flags & FLAG_PROBE else Outcome.CREATED for each in frames]
        return Append({}, bytes(statuses), bytes(20 * count), [], {})
