"""What the edges need of the cluster. `actors` implements it with Ray, tests in process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from unify_grpc.machines.audit_trail import AuditPage, AuditQuery
    from unify_grpc.machines.backup_records import AnyBackupCommand, BackupManifest, PartReply
    from unify_grpc.machines.control_commands import Administered, AnyCommand
    from unify_grpc.machines.control_records import DirectoryChanges, RulesVersion
    from unify_grpc.machines.deletions import DeleteCommand, Deleted
    from unify_grpc.machines.links import Append, Decided, PendingLink
    from unify_grpc.machines.merge_reads import ExplainLinks, LinksExplained
    from unify_grpc.machines.owed_sides import ClearedSide, OwedSide
    from unify_grpc.machines.part_reports import MergeReport, ShardReport
    from unify_grpc.machines.reads import Answer, Question
    from unify_grpc.placement.slots import ShardMap


class CommandFailedError(Exception):
    """An actor could not handle a command, which had no effect; trying again would not help."""


class BackupTarget(Protocol):
    """The directory that a backup is to be in."""

    async def find_manifest(self) -> BackupManifest | None:
        """Returns what a finished backup there says of itself; None: there is none.

        Raises:
            BackupExistsError: there is one that this version cannot read.
            RequestInvalidError: the directory cannot be looked into.
        """

    async def make(self, backup: str) -> int:
        """Makes the directory, or takes an empty one; returns how many bytes it has room for.

        Args:
            backup: names the attempt, whose copies have a directory of that name in it.

        Raises:
            BackupExistsError: it is not empty.
            RequestInvalidError: it cannot be used.
        """

    async def finish(self, manifest: BackupManifest) -> None:
        """Makes what was copied a backup, durably.

        Raises:
            StoreFullError: there is no room for it.
            BackupFailedError: it cannot be written.
        """

    async def remove(self, backup: str, *, is_described: bool) -> None:
        """Removes what an attempt has left; `is_described`: `finish` was called."""


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

    async def delete(self, command: DeleteCommand) -> Deleted:
        """Parts a profile from an identifier; returns when every shard has it."""

    async def clear_owed(self, shard: int, sides: list[ClearedSide]) -> None:
        """Ends marks of user's sides at a shard: the account's are durable."""

    async def list_owed(self, shard: int, *, before_us: int, sides_max: int) -> list[OwedSide]:
        """Returns a shard's sides received before a moment that owe their account's."""

    async def explain(self, question: ExplainLinks) -> LinksExplained:
        """Has the merge actor say how two identifiers were linked, or kept apart."""

    async def fill_search(self, shard: int) -> bool:
        """Has a shard go on making search complete; returns whether it is."""

    def shard_name(self, shard: int) -> str:
        """Returns what a shard goes by in reports."""

    def part_name(self, part: int) -> str:
        """Returns what a part of a verification goes by in reports."""

    async def audit(self, part: int, request: bytes) -> tuple[bytes, float]:
        """Has a part answer a packed request of a verification; says what that cost, in seconds."""

    @property
    def merge_name(self) -> str:
        """What the merge actor goes by in reports."""

    async def shard_status(self, shard: int) -> ShardReport:
        """Returns how a shard is doing; ask it with a timeout."""

    async def merge_status(self) -> MergeReport:
        """Returns how the merge actor is doing; ask it with a timeout."""

    @property
    def backup_parts(self) -> list[str]:
        """The names of all stores' parts, control's first."""

    async def back_up(self, part: str, command: AnyBackupCommand) -> PartReply:
        """Has a part do its share of a backup; ask it with a timeout."""

    def backup_target(self, directory: str) -> BackupTarget:
        """Returns the directory of a backup, which need not be there; by its absolute path."""

    async def read(self, shard: int, questions: list[Question]) -> list[Answer]:
        """Has a shard answer questions."""

    async def renew_directory(self, gateway: str, revision: int) -> DirectoryChanges | None:
        """Returns what changed since the revision that a gateway holds; None: nothing."""

    async def leave_directory(self, gateway: str) -> None:
        """Says that a gateway serves no calls any more."""

    async def count_gateways_behind(self, revision: int) -> int:
        """Returns how many live gateways may hold an older revision of the directory."""

    async def administer(self, command: AnyCommand) -> Administered:
        """Makes an administrative change, or says why not."""

    async def see_types(self, space: int, types: list[str]) -> None:
        """Has a space meet types of identifiers, as far as it welcomes them."""

    async def adopt_rules(self, space: int, rules: RulesVersion) -> None:
        """Has the merge actor keep to rules from now on."""

    async def read_rules(self, space: int, version: int) -> RulesVersion | None:
        """Returns a version of a space's rules, None for one that never was."""

    async def list_audit(self, query: AuditQuery) -> AuditPage:
        """Returns a page of the audit trail."""
