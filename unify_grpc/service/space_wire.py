"""Spaces, credentials and the audit trail in their wire form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import space_pb2
from unify_grpc.machines.control_records import SCOPES
from unify_grpc.service.profile_wire import time_to_wire

if TYPE_CHECKING:
    from unify_grpc.machines.audit_trail import AuditEntry
    from unify_grpc.machines.control_records import Credential, RulesVersion, SpaceRecord

SCOPE_NAMES: Final[dict[int, str]] = {
    space_pb2.Scope.Value("SCOPE_" + name.upper()): name for name in SCOPES
}
"""The wire's number of a scope to its name."""


def space_to_wire(record: SpaceRecord) -> Any:
    """Returns a space."""
    return space_pb2.Space(
        space_id=record.space_id,
        name=record.name,
        created_time=time_to_wire(record.created_us),
        rules_version=record.rules_version,
    )


def rules_to_wire(rules: RulesVersion, met_types: frozenset[str] = frozenset()) -> Any:
    """Returns a version of a space's rules, with the types met that it does not list."""
    return space_pb2.Rules(
        version=rules.version,
        rules_json=rules.document,
        created_time=time_to_wire(rules.created_us),
        author=rules.author,
        met_types=sorted(met_types),
    )


def source_to_wire(credential: Credential) -> Any:
    """Returns the source that a write key belongs to."""
    source = space_pb2.Source(
        source_id=credential.credential_id,
        name=credential.name,
        created_time=time_to_wire(credential.created_us),
    )
    if credential.revoked_us is not None:
        source.revoked_time.CopyFrom(time_to_wire(credential.revoked_us))
    return source


def access_token_to_wire(credential: Credential) -> Any:
    """Returns an access token without its secret."""
    token = space_pb2.AccessToken(
        access_token_id=credential.credential_id,
        name=credential.name,
        scopes=["SCOPE_" + name.upper() for name in credential.scopes],
        created_time=time_to_wire(credential.created_us),
    )
    if credential.expire_us is not None:
        token.expire_time.CopyFrom(time_to_wire(credential.expire_us))
    if credential.revoked_us is not None:
        token.revoked_time.CopyFrom(time_to_wire(credential.revoked_us))
    return token


def audit_entry_to_wire(entry: AuditEntry, space_id: str) -> Any:
    """Returns an entry of the audit trail."""
    return space_pb2.AuditEntry(
        audit_entry_id=f"aud_{entry.number:012d}",
        space_id=space_id,
        created_time=time_to_wire(entry.created_us),
        actor=entry.actor,
        action=entry.action,
        request_id=entry.call_id,
        details_json=entry.details,
    )
