"""Spaces of tests' own, on a service that they share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from unify_client import UnifyClient

from tests.integration.service import ADMIN_TOKEN
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    operations_service_pb2,
    operations_service_pb2_grpc,
    profile_service_pb2,
    profile_service_pb2_grpc,
    space_pb2,
    space_service_pb2,
    space_service_pb2_grpc,
)

if TYPE_CHECKING:
    from tests.integration.service import Service

Metadata = tuple[tuple[str, str], ...]
ADMIN: Metadata = (("authorization", f"Bearer {ADMIN_TOKEN}"),)


class Stubs(NamedTuple):
    """The services of one channel."""

    channel: Any
    profiles: Any
    operations: Any
    spaces: Any


class OwnSpace(NamedTuple):
    """A space with its credentials."""

    space_id: str
    source_id: str
    write_key: str
    reading: Metadata
    """With the scopes that a new token has: `read` and `pii`."""
    masked: Metadata
    """With the scope `read` alone."""

    def writer(self, service: Service) -> UnifyClient:
        """Returns a client that ingests; close it."""
        return UnifyClient(service.address, key=self.write_key)


def connect(service: Service) -> Stubs:
    """Opens a channel; close it."""
    channel = grpc.insecure_channel(service.address)
    return Stubs(
        channel,
        profile_service_pb2_grpc.ProfileServiceStub(channel),
        operations_service_pb2_grpc.OperationsServiceStub(channel),
        space_service_pb2_grpc.SpaceServiceStub(channel),
    )


def own_space(stubs: Stubs, rules_json: bytes = b"{}") -> OwnSpace:
    """Makes a space."""
    name = uuid.uuid4().hex
    made = stubs.spaces.CreateSpace(
        space_service_pb2.CreateSpaceRequest(name=name, rules_json=rules_json), metadata=ADMIN
    )
    token = stubs.spaces.CreateAccessToken(
        space_service_pb2.CreateAccessTokenRequest(
            space=made.space.space_id, name="masked", scopes=[space_pb2.SCOPE_READ]
        ),
        metadata=ADMIN,
    )
    return OwnSpace(
        made.space.space_id,
        made.source_id,
        made.write_key,
        _bearer(made.access_token),
        _bearer(token.secret),
    )


def _bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


def by_user_id(*values: str) -> list[Any]:
    """Names of profiles."""
    return [
        identity_pb2.ProfileName(identifier=identity_pb2.Identifier(type="user_id", value=value))
        for value in values
    ]


def user_ids(profiles: Any) -> list[str]:
    """The user ids of profiles, in their order."""
    return [
        next(each.id for each in profile.external_ids if each.type == "user_id")
        for profile in profiles
    ]


def all_profiles(stubs: Stubs, reading: Any, **fields: Any) -> list[Any]:
    """All profiles of a list, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        answer = stubs.profiles.ListProfiles(
            profile_service_pb2.ListProfilesRequest(page_token=token, **fields),
            metadata=reading,
            timeout=20,
        )
        found.extend(answer.profiles)
        token = answer.next_page_token
        if not token:
            return found


def all_violations(stubs: Stubs, reading: Any, **fields: Any) -> list[Any]:
    """All violations, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        answer = stubs.operations.ListViolations(
            operations_service_pb2.ListViolationsRequest(page_token=token, **fields),
            metadata=reading,
            timeout=20,
        )
        found.extend(answer.violations)
        token = answer.next_page_token
        if not token:
            return found


def refusal(call: Any, *args: Any, **fields: Any) -> grpc.StatusCode:
    """The code that a call is refused with."""
    with pytest.raises(grpc.RpcError) as refused:
        call(*args, **fields)
    code: grpc.StatusCode = refused.value.code()
    return code
