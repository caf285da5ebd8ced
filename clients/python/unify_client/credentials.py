"""What opens a space, as callers read it: sources with their write keys, and access tokens.

Secrets are shown once, by the call that creates them, and stay out of every repr.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from unify_client.times import optional_time_of, time_of
from unify_client.vocabulary import Scope, reader_of
from unify_grpc._pb.unify.v1 import space_pb2, space_service_pb2

_scope_of = reader_of(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One sender of events."""

    source_id: str
    """What events and traits carry."""
    name: str
    """For people; need not be unique."""
    created_time: datetime
    revoked_time: datetime | None
    """When its write key was revoked; None while the key is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSource:
    """A new source and its write key."""

    source: Source
    write_key: str
    """For sending events."""

    def __repr__(self) -> str:
        return f"CreatedSource(source={self.source!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A credential for one space, without its secret."""

    access_token_id: str
    """What names it; not the secret."""
    name: str
    """For people; need not be unique."""
    scopes: tuple[Scope, ...]
    """What it may be used for."""
    created_time: datetime
    expire_time: datetime | None
    """When it ceases to be good by itself; None: never."""
    revoked_time: datetime | None
    """When it was revoked; None while it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedAccessToken:
    """A new access token and its secret."""

    access_token: AccessToken
    secret: str
    """What goes with calls."""

    def __repr__(self) -> str:
        return f"CreatedAccessToken(access_token={self.access_token!r})"


def source(message: space_pb2.Source) -> Source:
    """Returns a source of the wire."""
    return Source(
        source_id=message.source_id,
        name=message.name,
        created_time=time_of(message.created_time),
        revoked_time=optional_time_of(message, "revoked_time"),
    )


def created_source(message: space_service_pb2.CreateSourceResponse) -> CreatedSource:
    """Returns a new source of the wire."""
    return CreatedSource(source=source(message.source), write_key=message.write_key)


def access_token(message: space_pb2.AccessToken) -> AccessToken:
    """Returns an access token of the wire."""
    return AccessToken(
        access_token_id=message.access_token_id,
        name=message.name,
        scopes=tuple(_scope_of(scope) or Scope.UNRECOGNIZED for scope in message.scopes),
        created_time=time_of(message.created_time),
        expire_time=optional_time_of(message, "expire_time"),
        revoked_time=optional_time_of(message, "revoked_time"),
    )


def created_access_token(
    message: space_service_pb2.CreateAccessTokenResponse,
) -> CreatedAccessToken:
    """Returns a new access token of the wire."""
    return CreatedAccessToken(
        access_token=access_token(message.access_token), secret=message.secret
    )
