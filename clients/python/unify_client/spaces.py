"""Spaces, their rules and what was changed in them, as callers read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unify_client.times import time_of
from unify_grpc._pb.unify.v1 import space_pb2, space_service_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One tenant: its own graph, rules, sources and tokens."""

    space_id: str
    name: str
    created_time: datetime
    rules_version: int
    """Which version of its rules holds, counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSpace:
    """A new space and its secrets: shown this once, and left out of its repr."""

    space_id: str
    write_key: str
    """For sending events."""
    access_token: str
    """For reading, with the scopes `read` and `pii`."""
    source_id: str
    access_token_id: str
    space: Space

    def __repr__(self) -> str:
        return f"CreatedSpace(space_id={self.space_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One version of a space's rules."""

    version: int
    document: dict[str, Any]
    """The rules with every default written out."""
    created_time: datetime
    author: str
    """The `access_token_id` of the token that set it; `admin` for an admin token."""
    met_types: tuple[str, ...] = ()
    """Types that were met in events and are not listed; filled for the version that holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One administrative change: who, what, when."""

    audit_entry_id: str
    space_id: str
    created_time: datetime
    """When the change took effect."""
    actor: str
    """The `access_token_id` of the token that did it; `admin` for an admin token."""
    action: str
    """The method that did it, such as `SetRules`."""
    request_id: str
    """What names the call in the service's logs."""
    details: Mapping[str, Any]
    """What was changed, without secrets and values of identifiers."""


def space(message: space_pb2.Space) -> Space:
    """Returns a space of the wire."""
    return Space(
        space_id=message.space_id,
        name=message.name,
        created_time=time_of(message.created_time),
        rules_version=message.rules_version,
    )


def created_space(message: space_service_pb2.CreateSpaceResponse) -> CreatedSpace:
    """Returns a new space of the wire."""
    return CreatedSpace(
        space_id=message.space.space_id,
        write_key=message.write_key,
        access_token=message.access_token,
        source_id=message.source_id,
        access_token_id=message.access_token_id,
        space=space(message.space),
    )


def rules(message: space_pb2.Rules) -> Rules:
    """Returns rules of the wire."""
    return Rules(
        version=message.version,
        document=json.loads(message.rules_json),
        created_time=time_of(message.created_time),
        author=message.author,
        met_types=tuple(message.met_types),
    )


def audit_entry(message: space_pb2.AuditEntry) -> AuditEntry:
    """Returns an entry of the audit trail from the wire."""
    return AuditEntry(
        audit_entry_id=message.audit_entry_id,
        space_id=message.space_id,
        created_time=time_of(message.created_time),
        actor=message.actor,
        action=message.action,
        request_id=message.request_id,
        details=json.loads(message.details_json) if message.details_json else {},
    )
