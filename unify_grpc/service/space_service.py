"""`SpaceService`: spaces, their rules, and who may call."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from unify_grpc._pb.unify.v1 import header_pb2, space_service_pb2, space_service_pb2_grpc
from unify_grpc.machines.audit_trail import AuditQuery
from unify_grpc.machines.control_commands import (
    NewAccessToken,
    NewRules,
    NewSource,
    NewSpace,
    Revocation,
)
from unify_grpc.machines.control_records import ACCESS_TOKEN, ADMIN_TOKEN, WRITE_KEY
from unify_grpc.service import space_checks as checks
from unify_grpc.service.administration import Administration, facts_of
from unify_grpc.service.calls import current_call
from unify_grpc.service.checks import check_page_size, check_times
from unify_grpc.service.errors import (
    RequestInvalidError,
    RulesVersionNotFoundError,
    SpaceNotFoundError,
)
from unify_grpc.service.faults import Faults
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.space_wire import (
    access_token_to_wire,
    audit_entry_to_wire,
    rules_to_wire,
    source_to_wire,
    space_to_wire,
)

if TYPE_CHECKING:
    from unify_grpc.machines.control_commands import Administered
    from unify_grpc.machines.control_records import Credential
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.directory import Space, SpaceDirectory

PAGE_DEFAULT, PAGE_MAX = 50, 200


class SpaceServicer(space_service_pb2_grpc.SpaceServiceServicer):
    """Translates between the wire and control."""

    def __init__(self, backend: Backend, directory: SpaceDirectory) -> None:
        self._backend = backend
        self._directory = directory
        self._administration = Administration(backend, directory)

    # -- spaces -----------------------------------------------------------------------------

    async def CreateSpace(self, request: Any, context: Any) -> Any:
        """Makes a space with a write key and an access token, shown once."""
        del context
        command = NewSpace(
            **facts_of(current_call(), request),
            name=request.name,
            rules=checks.check_create_space(request),
            space_id=_new_id("spa"),
            secret=secrets.token_bytes(32),
            write_key=_new_secret("wk"),
            source_id=_new_id("src"),
            access_token=_new_secret("at"),
            access_token_id=_new_id("tok"),
            scopes=list(checks.SCOPES_DEFAULT),
        )
        done = await self._administration.carry_out(command)
        source, token = done.credentials
        return space_service_pb2.CreateSpaceResponse(
            space=space_to_wire(_space_in(done)),
            source_id=source.credential_id,
            write_key="" if done.is_repeat else command.write_key,
            access_token_id=token.credential_id,
            access_token="" if done.is_repeat else command.access_token,
            header=_header(),
        )

    async def GetSpace(self, request: Any, context: Any) -> Any:
        """Returns one space."""
        del context
        checks.check_space(request)
        await self._directory.renew()
        space = self._directory.find_space(request.space)
        return space_service_pb2.GetSpaceResponse(
            space=space_to_wire(space.record), header=_header()
        )

    async def ListSpaces(self, request: Any, context: Any) -> Any:
        """Lists all spaces, the oldest first."""
        del context
        faults = Faults()
        scope = scope_of("ListSpaces", 0, request)
        with faults:
            size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        with faults:
            after = read_token(self._directory.signing_key, scope, request.page_token, int)
        faults.refuse()
        await self._directory.renew()
        listed = [space.record for space in self._directory.spaces(after or 0)]
        page = listed[:size]
        response = space_service_pb2.ListSpacesResponse(
            spaces=[space_to_wire(record) for record in page], header=_header()
        )
        if len(listed) > size:
            response.next_page_token = self._token(scope, page[-1].number)
        return response

    # -- rules ------------------------------------------------------------------------------

    async def GetRules(self, request: Any, context: Any) -> Any:
        """Returns a version of a space's rules, the one that holds unless another is named."""
        del context
        faults = Faults()
        if request.version < 0:
            faults.add("version", "must not be negative")
        await self._directory.renew()
        with faults:
            space = self._space_of_rules(request)
        faults.refuse()
        if request.version in {0, space.rules.version}:
            view = space.view.rules
            met = (view.met_types or frozenset()) - view.listed_types
            rules = rules_to_wire(space.rules, met)
        else:
            found = await self._backend.read_rules(space.record.number, request.version)
            if found is None:
                raise RulesVersionNotFoundError
            rules = rules_to_wire(found)
        return space_service_pb2.GetRulesResponse(rules=rules, header=_header())

    async def SetRules(self, request: Any, context: Any) -> Any:
        """Replaces a space's rules; answers when they act everywhere."""
        del context
        faults = Faults()
        with faults:
            rules = checks.check_set_rules(request)
        await self._directory.renew()
        with faults:
            space = self._space_of_rules(request)
        faults.refuse()
        command = NewRules(
            **facts_of(current_call(), request),
            space=space.record.number,
            rules=rules,
            expected_version=request.expected_version,
        )
        done = await self._administration.set_rules(command)
        assert done.rules is not None, "who sets rules is told them"
        present = self._directory.present(space)
        met: frozenset[str] = frozenset()
        if present.rules.version == done.rules.version:
            view = present.view.rules
            met = (view.met_types or frozenset()) - view.listed_types
        return space_service_pb2.SetRulesResponse(
            rules=rules_to_wire(done.rules, met), header=_header()
        )

    def _space_of_rules(self, request: Any) -> Space:
        """Returns the space whose rules a call is about.

        A token's space is its own; a name of another is answered as if it did not exist.
        """
        caller = current_call().caller
        if caller.credential.kind == ADMIN_TOKEN:
            if not request.space and caller.space is None:
                raise RequestInvalidError([("space", "an admin token names a space here")])
            return self._directory.find_space(request.space or _id_of(caller.space))
        own = _id_of(caller.space)
        if request.space and self._directory.find_space(request.space).record.space_id != own:
            raise SpaceNotFoundError
        return self._directory.find_space(own)

    # -- credentials ------------------------------------------------------------------------

    async def CreateSource(self, request: Any, context: Any) -> Any:
        """Makes a source and its write key, shown once."""
        del context
        checks.check_create_source(request)
        space = await self._find(request)
        command = NewSource(
            **facts_of(current_call(), request),
            space=space.record.number,
            name=request.name,
            source_id=_new_id("src"),
            write_key=_new_secret("wk"),
        )
        done = await self._administration.carry_out(command)
        return space_service_pb2.CreateSourceResponse(
            source=source_to_wire(done.credentials[0]),
            write_key="" if done.is_repeat else command.write_key,
            header=_header(),
        )

    async def ListSources(self, request: Any, context: Any) -> Any:
        """Lists the sources of a space, the oldest first."""
        del context
        page, token = await self._list(request, "ListSources", WRITE_KEY)
        return space_service_pb2.ListSourcesResponse(
            sources=map(source_to_wire, page), next_page_token=token, header=_header()
        )

    async def RevokeWriteKey(self, request: Any, context: Any) -> Any:
        """Revokes a write key for good."""
        del context
        revoked = await self._revoke(request, WRITE_KEY, "source_id")
        return space_service_pb2.RevokeWriteKeyResponse(
            source=source_to_wire(revoked), header=_header()
        )

    async def CreateAccessToken(self, request: Any, context: Any) -> Any:
        """Makes an access token, shown once."""
        del context
        scopes, expire_us = checks.check_create_access_token(request)
        space = await self._find(request)
        command = NewAccessToken(
            **facts_of(current_call(), request),
            space=space.record.number,
            name=request.name,
            access_token_id=_new_id("tok"),
            access_token=_new_secret("at"),
            scopes=scopes,
            expire_us=expire_us,
        )
        done = await self._administration.carry_out(command)
        return space_service_pb2.CreateAccessTokenResponse(
            access_token=access_token_to_wire(done.credentials[0]),
            secret="" if done.is_repeat else command.access_token,
            header=_header(),
        )

    async def ListAccessTokens(self, request: Any, context: Any) -> Any:
        """Lists the access tokens of a space, the oldest first."""
        del context
        page, token = await self._list(request, "ListAccessTokens", ACCESS_TOKEN)
        return space_service_pb2.ListAccessTokensResponse(
            access_tokens=map(access_token_to_wire, page), next_page_token=token, header=_header()
        )

    async def RevokeAccessToken(self, request: Any, context: Any) -> Any:
        """Revokes an access token for good."""
        del context
        revoked = await self._revoke(request, ACCESS_TOKEN, "access_token_id")
        return space_service_pb2.RevokeAccessTokenResponse(
            access_token=access_token_to_wire(revoked), header=_header()
        )

    async def _find(self, request: Any) -> Space:
        await self._directory.renew()
        return self._directory.find_space(request.space)

    async def _list(self, request: Any, method: str, kind: str) -> tuple[list[Credential], str]:
        """Returns a page of a space's keys or tokens, and the token of the next page."""
        faults = Faults()
        with faults:
            size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        with faults:
            checks.check_space(request)
            space = await self._find(request)
            scope = scope_of(method, space.record.number, request)
            after = read_token(self._directory.signing_key, scope, request.page_token, int)
        faults.refuse()
        listed = self._directory.credentials_of(space, kind, after or 0)
        page = listed[:size]
        return page, self._token(scope, page[-1].number) if len(listed) > size else ""

    async def _revoke(self, request: Any, kind: str, field: str) -> Credential:
        checks.check_revoke(request, field)
        space = await self._find(request)
        command = Revocation(
            **facts_of(current_call(), request),
            space=space.record.number,
            kind=kind,
            credential_id=getattr(request, field),
        )
        done = await self._administration.carry_out(command)
        return done.credentials[0]

    # -- audit trail ------------------------------------------------------------------------

    async def ListAuditEntries(self, request: Any, context: Any) -> Any:
        """Lists administrative changes, the newest first."""
        del context
        faults = Faults()
        with faults:
            size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        start_us, end_us = check_times(request, faults)
        await self._directory.renew()
        with faults:
            find = self._directory.find_space
            number = find(request.space).record.number if request.space else 0
            scope = scope_of("ListAuditEntries", number, request)
            before = read_token(self._directory.signing_key, scope, request.page_token, int) or 0
        faults.refuse()
        page = await self._backend.list_audit(AuditQuery(number, start_us, end_us, before, size))
        names = {space.record.number: space.record.space_id for space in self._directory.spaces()}
        response = space_service_pb2.ListAuditEntriesResponse(
            audit_entries=[
                audit_entry_to_wire(entry, names.get(entry.space, "")) for entry in page.entries
            ],
            header=_header(),
        )
        if page.last:
            response.next_page_token = self._token(scope, page.last)
        return response

    def _token(self, scope: bytes, position: int) -> str:
        return make_token(self._directory.signing_key, scope, position)


def _header() -> Any:
    return header_pb2.ReplyHeader(request_id=current_call().request_id)


def _new_secret(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(8)}"


def _space_in(done: Administered) -> Any:
    assert done.space is not None, "who makes a space is told it"
    return done.space


def _id_of(space: Space | None) -> str:
    assert space is not None, "a token that is not an admin's has a space"
    return space.record.space_id
