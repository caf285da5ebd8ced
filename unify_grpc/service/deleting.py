"""Parting a profile from an identifier: from what a caller names to the merge actor's command."""

from __future__ import annotations

import asyncio
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from unify_grpc.identity.deletion import DeletionRefusal
from unify_grpc.identity.identifiers import ACCOUNTS, Identifier, normalise_value
from unify_grpc.machines.control_commands import Occurrence
from unify_grpc.machines.deleting import REUSED
from unify_grpc.machines.deletions import DeleteCommand
from unify_grpc.placement.members import KEY_BYTES, segment_id_of
from unify_grpc.service.errors import (
    IdentifierNotDeletableError,
    IdentifierNotFoundError,
    RequestIdReusedError,
    UnifyError,
)
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import Space
    from unify_grpc.service.profile_reads import Named, ProfileReader

REFUSALS: Final = {
    DeletionRefusal.LOOKED_UP_BY: "The identifier to delete must differ from the one in the name.",
    DeletionRefusal.GROUP_ID: "A group_id cannot be deleted.",
    DeletionRefusal.LAST_USER_ID: "The last user_id of a profile cannot be deleted.",
}
REQUEST_ID_BYTES: Final = 16


class Deleter:
    """Deletes identifiers from profiles of all spaces."""

    def __init__(self, backend: Backend, reader: ProfileReader) -> None:
        self._backend = backend
        self._reader = reader
        self._kept: set[asyncio.Task[tuple[str, Identifier]]] = set()
        """Deletions under way, which nobody may wait for any more."""

    def delete_and_note(
        self, space: Space, named: Named, wanted: Any, request_id: str, facts: dict[str, Any]
    ) -> asyncio.Task[tuple[str, Identifier]]:
        """Begins a deletion that goes on to its note in the audit trail, whoever waits for it.

        Its result is the profile's segment_id, and the identifier as normalised; it raises what
        `delete` does.

        Args:
            space: of the profile.
            named: how the caller names the profile.
            wanted: the `Identifier` to delete, by its type and value.
            request_id: as `delete` takes it.
            facts: what the audit trail says of the call.
        """

        async def run() -> tuple[str, Identifier]:
            root, deleted = await self.delete(space, named, wanted.type, wanted.value, request_id)
            segment_id = segment_id_of(named.collection, root)
            await self.note(space, segment_id, deleted, facts)
            return segment_id, deleted

        task = asyncio.get_running_loop().create_task(run())
        self._kept.add(task)
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: asyncio.Task[tuple[str, Identifier]]) -> None:
        self._kept.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, UnifyError):
            get_logger("gateway").warning("deletion_failed", error=type(error).__name__)

    async def delete(
        self, space: Space, named: Named, type_: str, value: str, request_id: str
    ) -> tuple[bytes, Identifier]:
        """Deletes one identifier; returns the profile's root, and the identifier as normalised.

        Raises:
            ProfileNotFoundError: there is no such profile.
            IdentifierNotFoundError: it is not on the profile.
            IdentifierNotDeletableError: it has to stay there.
            RequestIdReusedError: the request id was used for another deletion.
        """
        lowercase_email = space.view.rules.lowercase_email
        normalised = normalise_value(type_, value, lowercase_email=lowercase_email)
        if normalised is None:
            await self._reader.locate(space, named)
            raise IdentifierNotFoundError
        identifier = Identifier(named.collection, type_, normalised)
        key = space.view.keys.key(identifier)
        looked_up, named_looked_up = await self._reader.look_up([key, named.key[:KEY_BYTES]])
        command = DeleteCommand(
            request_id=_request_id(space, request_id),
            space=space.record.number,
            collection=int(named.collection == ACCOUNTS),
            named=named.key,
            key=key,
            type=type_,
            value=normalised,
            looked_up=looked_up,
            named_looked_up=named_looked_up,
        )
        deleted = await self._backend.delete(command)
        if deleted.refusal == REUSED:
            raise RequestIdReusedError
        if deleted.refusal:
            # Whatever the reason: first of all there must be such a profile in this space.
            await self._reader.locate(space, named)
        if deleted.refusal == DeletionRefusal.NOT_ON_PROFILE:
            raise IdentifierNotFoundError
        if deleted.refusal:
            refusal = DeletionRefusal(deleted.refusal)
            raise IdentifierNotDeletableError(REFUSALS[refusal], refusal=refusal.name)
        return deleted.root, identifier

    async def note(
        self, space: Space, segment_id: str, deleted: Identifier, facts: dict[str, Any]
    ) -> None:
        """Writes a deletion into the audit trail: who, when, of which profile, never the value.

        Repeated under the same request id it leaves one entry.
        """
        details = {
            "segment_id": segment_id,
            "collection": deleted.collection,
            "type": deleted.type,
        }
        await self._backend.administer(
            Occurrence(
                space=space.record.number,
                action="DeleteExternalIds",
                details=msgspec.json.encode(details),
                **facts,
            )
        )


def _request_id(space: Space, text: str) -> bytes:
    """Returns a command's request id: of this space alone; without one from the caller, random."""
    if not text:
        return secrets.token_bytes(REQUEST_ID_BYTES)
    start = space.record.number.to_bytes(4, "big")
    return blake2b(start + text.encode(), digest_size=REQUEST_ID_BYTES).digest()
