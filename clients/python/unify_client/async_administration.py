"""The methods of the asynchronous client that administer spaces and watch the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

from unify_client import service_operations, space_operations
from unify_client.async_calls import AsyncCalls
from unify_client.credentials import AccessToken, CreatedAccessToken, CreatedSource, Source
from unify_client.names import ProfileNamed
from unify_client.service_state import Backup, ServiceStatus
from unify_client.spaces import AuditEntry, CreatedSpace, Rules, Space
from unify_client.tailing import Tail
from unify_client.verification import Verification
from unify_client.vocabulary import DropReason, RejectionReason, Scope
from unify_client.watched_events import TailedEvent, Violation


class AsyncAdministration(AsyncCalls):
    """What an admin token can do, and access tokens for their own space."""

    async def create_space(
        self,
        name: str,
        rules: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> CreatedSpace:
        """Creates a space with a write key and an access token, ready for use.

        `rules` is the document of rules, or None for the default ones. `request_id`, a UUID,
        makes a repetition by the caller harmless. Raises SpaceNameTaken; SecretsNotShown where
        the space was created and the answer with its secrets was lost.
        """
        return await self._run(space_operations.create_space(name, rules, request_id))

    async def get_space(self, space: str) -> Space:
        """Returns a space by its id or its name. Raises SpaceNotFound."""
        return await self._run(space_operations.get_space(space))

    def list_spaces(self, *, page_size: int | None = None) -> AsyncIterator[Space]:
        """Returns all spaces, the oldest first."""
        return self._walk(space_operations.list_spaces(page_size))

    async def get_rules(self, space: str = "", *, version: int = 0) -> Rules:
        """Returns the rules of a space as they stand, or as they stood in an earlier version.

        An access token needs no `space`: it has its own.
        """
        return await self._run(space_operations.get_rules(space, version))

    async def set_rules(
        self,
        rules: Mapping[str, Any],
        space: str = "",
        *,
        expected_version: int = 0,
        request_id: str | None = None,
    ) -> Rules:
        """Replaces the rules of a space as a whole; returns them once they hold everywhere.

        An access token needs no `space`. Raises RequestInvalid with every fault of the document;
        RulesChanged where `expected_version` no longer holds (0: whichever does).
        """
        return await self._run(
            space_operations.set_rules(rules, space, expected_version, request_id)
        )

    async def create_source(
        self, space: str, name: str, *, request_id: str | None = None
    ) -> CreatedSource:
        """Creates a source with a write key; raises SecretsNotShown as `create_space` does."""
        return await self._run(space_operations.create_source(space, name, request_id))

    def list_sources(self, space: str, *, page_size: int | None = None) -> AsyncIterator[Source]:
        """Returns the sources of a space, the oldest first, those with a revoked key too."""
        return self._walk(space_operations.list_sources(space, page_size))

    async def revoke_write_key(
        self, space: str, source_id: str, *, request_id: str | None = None
    ) -> Source:
        """Revokes the write key of a source for good. Raises SourceNotFound."""
        return await self._run(space_operations.revoke_write_key(space, source_id, request_id))

    async def create_access_token(
        self,
        space: str,
        name: str,
        *,
        scopes: Iterable[Scope | str] = (),
        expire_time: datetime | None = None,
        request_id: str | None = None,
    ) -> CreatedAccessToken:
        """Creates an access token of a space, with the scopes `read` and `pii` unless told.

        Raises SecretsNotShown as `create_space` does.
        """
        return await self._run(
            space_operations.create_access_token(
                space, name, scopes=scopes, expire_time=expire_time, request_id=request_id
            )
        )

    def list_access_tokens(
        self, space: str, *, page_size: int | None = None
    ) -> AsyncIterator[AccessToken]:
        """Returns the access tokens of a space, the oldest first, without their secrets."""
        return self._walk(space_operations.list_access_tokens(space, page_size))

    async def revoke_access_token(
        self, space: str, access_token_id: str, *, request_id: str | None = None
    ) -> AccessToken:
        """Revokes an access token, by its id, for good. Raises AccessTokenNotFound."""
        return await self._run(
            space_operations.revoke_access_token(space, access_token_id, request_id)
        )

    def list_audit_entries(
        self,
        space: str = "",
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """Returns administrative changes, the newest first, of one space or of all.

        At or after `start_time` and before `end_time`.
        """
        return self._walk(
            space_operations.list_audit_entries(
                space, start_time=start_time, end_time=end_time, page_size=page_size
            )
        )

    async def get_status(self) -> ServiceStatus:
        """Returns how the parts of the service are doing."""
        return await self._run(service_operations.get_status())

    async def verify(self, *, timeout_s: float = 86_400.0) -> Verification:
        """Checks the invariants of all stores while the service runs, changing nothing.

        It reads everything, slowly, which takes hours on large stores: `timeout_s` is for one
        attempt. A fault is no error but is told in the answer. Raises VerifyRunning while the
        gateway makes another one.
        """
        return await self._run(service_operations.verify(), timeout_s)

    async def create_backup(
        self, directory: str, *, request_id: str | None = None, timeout_s: float = 3600.0
    ) -> Backup:
        """Copies all stores, as they are at one instant, to a directory of the service's machine.

        The directory, an absolute path, is made or is empty. The service goes on meanwhile;
        `timeout_s` is for one attempt, however much there is to copy. Raises BackupExists,
        BackupRunning, StorageFull, BackupFailed; then nothing is left of it. `request_id`, a UUID,
        makes a repetition by the caller find the backup that is there.
        """
        operation = service_operations.create_backup(directory, request_id)
        return await self._run(operation, timeout_s)

    def list_violations(
        self,
        *,
        drop_reasons: Iterable[DropReason] = (),
        rejection_reasons: Iterable[RejectionReason] = (),
        identifier_type: str = "",
        identifier: ProfileNamed | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Violation]:
        """Returns refused events and dropped identifiers, the newest first.

        Without reasons all of them; with reasons of one kind, those alone. The two filters by
        identifier are for drops; times are those of receipt, `end_time` excluded.
        """
        return self._walk(
            service_operations.list_violations(
                drop_reasons=drop_reasons,
                rejection_reasons=rejection_reasons,
                identifier_type=identifier_type,
                identifier=identifier,
                start_time=start_time,
                end_time=end_time,
                page_size=page_size,
            )
        )

    def tail_events(
        self, *, types: Iterable[str] = (), source_ids: Iterable[str] = (), resume_token: str = ""
    ) -> AsyncGenerator[TailedEvent, None]:
        """Returns the events of a space as they are stored, without an end, each once.

        Of kinds in `types` and of `source_ids`, or all. From now on, or after the event whose
        `resume_token` is given. A stream that breaks off goes on after its last event, as long as
        the service comes back in time (RetryPolicy). Whoever stops closes the iterator.
        """
        tail = Tail(self._connection, types=types, source_ids=source_ids, resume_token=resume_token)
        return self._follow(tail)
