"""The calls of `SpaceService`.

A write carries an id, the caller's or one made here, so that a repetition changes nothing. It is
repeated after its deadline too, unless its answer has secrets: those are shown once, and a caller
who waits no longer is better told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from unify_client import credentials, spaces
from unify_client.credentials import AccessToken, CreatedAccessToken, CreatedSource, Source
from unify_client.errors import ArgumentInvalid, SecretsNotShown
from unify_client.json_form import json_bytes
from unify_client.operations import Operation, PagedOperation, paged
from unify_client.spaces import AuditEntry, CreatedSpace, Rules, Space
from unify_client.times import optional_timestamp_of
from unify_client.vocabulary import Scope, number_of
from unify_grpc._pb.unify.v1 import space_service_pb2

# Lists are walked to their end as a rule, so pages are as large as the service allows.
_PAGE_MAX = 200


def create_space(
    name: str, rules: Mapping[str, Any] | None, request_id: str | None
) -> Operation[CreatedSpace]:
    """Creates a space; a repetition is harmless, since each call carries an id."""

    def read(response: space_service_pb2.CreateSpaceResponse) -> CreatedSpace:
        # Empty where this answers a repetition: the first answer was lost on its way.
        if not response.write_key:
            raise SecretsNotShown("Space", response.space.space_id)
        return spaces.created_space(response)

    return Operation(
        service="SpaceService",
        method="CreateSpace",
        request=space_service_pb2.CreateSpaceRequest(
            name=name,
            rules_json=b"" if rules is None else json_bytes("rules", rules),
            request_id=request_id or str(uuid4()),
        ),
        read=read,
    )


def get_space(space: str) -> Operation[Space]:
    """Reads one space by its id or its name."""
    return Operation(
        service="SpaceService",
        method="GetSpace",
        request=space_service_pb2.GetSpaceRequest(space=space),
        read=lambda response: spaces.space(response.space),
    )


def list_spaces(page_size: int | None) -> PagedOperation[Space]:
    """Lists all spaces, the oldest first."""
    request = space_service_pb2.ListSpacesRequest(
        page_size=_PAGE_MAX if page_size is None else page_size
    )
    return paged("SpaceService", "ListSpaces", request, "spaces", spaces.space)


def get_rules(space: str, version: int) -> Operation[Rules]:
    """Reads the rules of a space; version 0 is the one that holds."""
    return Operation(
        service="SpaceService",
        method="GetRules",
        request=space_service_pb2.GetRulesRequest(space=space, version=version),
        read=lambda response: spaces.rules(response.rules),
    )


def set_rules(
    rules: Mapping[str, Any], space: str, expected_version: int, request_id: str | None
) -> Operation[Rules]:
    """Replaces the rules of a space as a whole."""
    return Operation(
        service="SpaceService",
        method="SetRules",
        request=space_service_pb2.SetRulesRequest(
            space=space,
            rules_json=json_bytes("rules", rules),
            expected_version=expected_version,
            request_id=request_id or str(uuid4()),
        ),
        read=lambda response: spaces.rules(response.rules),
        after_deadline=True,
    )


def create_source(space: str, name: str, request_id: str | None) -> Operation[CreatedSource]:
    """Creates a source and its write key."""

    def read(response: space_service_pb2.CreateSourceResponse) -> CreatedSource:
        if not response.write_key:
            raise SecretsNotShown("Source", response.source.source_id)
        return credentials.created_source(response)

    return Operation(
        service="SpaceService",
        method="CreateSource",
        request=space_service_pb2.CreateSourceRequest(
            space=space, name=name, request_id=request_id or str(uuid4())
        ),
        read=read,
    )


def list_sources(space: str, page_size: int | None) -> PagedOperation[Source]:
    """Lists the sources of a space, the oldest first."""
    request = space_service_pb2.ListSourcesRequest(
        space=space, page_size=_PAGE_MAX if page_size is None else page_size
    )
    return paged("SpaceService", "ListSources", request, "sources", credentials.source)


def revoke_write_key(space: str, source_id: str, request_id: str | None) -> Operation[Source]:
    """Revokes the write key of a source."""
    return Operation(
        service="SpaceService",
        method="RevokeWriteKey",
        request=space_service_pb2.RevokeWriteKeyRequest(
            space=space, source_id=source_id, request_id=request_id or str(uuid4())
        ),
        read=lambda response: credentials.source(response.source),
        after_deadline=True,
    )


def create_access_token(
    space: str,
    name: str,
    *,
    scopes: Iterable[Scope | str],
    expire_time: datetime | None,
    request_id: str | None,
) -> Operation[CreatedAccessToken]:
    """Creates an access token; scopes by name, in capitals or not."""

    def read(response: space_service_pb2.CreateAccessTokenResponse) -> CreatedAccessToken:
        if not response.secret:
            raise SecretsNotShown("Access token", response.access_token.access_token_id)
        return credentials.created_access_token(response)

    return Operation(
        service="SpaceService",
        method="CreateAccessToken",
        request=space_service_pb2.CreateAccessTokenRequest(
            space=space,
            name=name,
            scopes=list(map(_scope_number, scopes)),
            expire_time=optional_timestamp_of("expire_time", expire_time),
            request_id=request_id or str(uuid4()),
        ),
        read=read,
    )


def list_access_tokens(space: str, page_size: int | None) -> PagedOperation[AccessToken]:
    """Lists the access tokens of a space, the oldest first."""
    request = space_service_pb2.ListAccessTokensRequest(
        space=space, page_size=_PAGE_MAX if page_size is None else page_size
    )
    read = credentials.access_token
    return paged("SpaceService", "ListAccessTokens", request, "access_tokens", read)


def revoke_access_token(
    space: str, access_token_id: str, request_id: str | None
) -> Operation[AccessToken]:
    """Revokes an access token."""
    return Operation(
        service="SpaceService",
        method="RevokeAccessToken",
        request=space_service_pb2.RevokeAccessTokenRequest(
            space=space, access_token_id=access_token_id, request_id=request_id or str(uuid4())
        ),
        read=lambda response: credentials.access_token(response.access_token),
        after_deadline=True,
    )


def list_audit_entries(
    space: str,
    *,
    start_time: datetime | None,
    end_time: datetime | None,
    page_size: int | None,
) -> PagedOperation[AuditEntry]:
    """Lists administrative changes, the newest first; an empty space means all."""
    request = space_service_pb2.ListAuditEntriesRequest(
        space=space,
        start_time=optional_timestamp_of("start_time", start_time),
        end_time=optional_timestamp_of("end_time", end_time),
        page_size=_PAGE_MAX if page_size is None else page_size,
    )
    return paged("SpaceService", "ListAuditEntries", request, "audit_entries", spaces.audit_entry)


def _scope_number(scope: Scope | str) -> Any:
    try:
        return number_of(Scope(scope.upper()))
    except (KeyError, ValueError):
        pass
    raise ArgumentInvalid("A scope is read, pii, delete or rules.")
