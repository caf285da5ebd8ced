"""The rows of one change to control's tables, put together while its command is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from unify_grpc.machines import control_records as records
from unify_grpc.machines.control_commands import encode as encode_answer
from unify_grpc.machines.control_records import (
    WRITE_KEY,
    Credential,
    Deployment,
    MetTypes,
    RequestRow,
    RulesVersion,
    SpaceRecord,
    encode,
    hash_credential,
)
from unify_grpc.machines.tables import Changes, Decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unify_grpc.machines.audit_trail import AuditTrail
    from unify_grpc.machines.control_commands import Administered, Command, NewSpace, Occurrence

T = TypeVar("T")

REQUESTS_KEPT_US = 24 * 3600 * 1_000_000
REQUESTS_FORGOTTEN_MAX = 100
"""In one commit: forgetting must not make a change slow."""


class Control(Protocol):
    """What a draft needs of the machine."""

    audit: AuditTrail
    deployment: Deployment | None
    requests: dict[bytes, RequestRow]
    revision: int


class Draft:
    """A change that is not made yet. All rows in it get the revision after the present one."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._revision = control.revision + 1
        self._deployment = control.deployment
        self.changes: Changes = {}

    def set_deployment(self, deployment: Deployment) -> None:
        """Sets what is one for the whole deployment."""
        self._deployment = deployment
        self.changes[records.DEPLOYMENT] = encode(deployment)

    def new_space(self, command: NewSpace, rules: RulesVersion) -> SpaceRecord:
        """Adds a space with its first rules."""
        deployment = self._founded()
        space = SpaceRecord(
            records.FORMAT,
            self._revision,
            deployment.next_space,
            command.space_id,
            command.name,
            command.now_us,
            command.secret,
            rules.version,
        )
        counted = msgspec.structs.replace(deployment, next_space=deployment.next_space + 1)
        self.set_deployment(counted)
        return self.set_rules(space, rules)

    def set_rules(self, space: SpaceRecord, rules: RulesVersion) -> SpaceRecord:
        """Puts a version of the rules in force; returns the space with it."""
        space = msgspec.structs.replace(space, rules_version=rules.version, revision=self._revision)
        self.changes[records.space_key(space.number)] = encode(space)
        self.changes[records.rules_key(space.number, rules.version)] = encode(rules)
        return space

    def set_met_types(self, space: int, types: list[str]) -> None:
        """Sets the types that a space met."""
        met = MetTypes(records.FORMAT, self._revision, types)
        self.changes[records.met_types_key(space)] = encode(met)

    def new_credential(
        self,
        kind: str,
        credential_id: str,
        *,
        secret: str,
        name: str,
        now_us: int,
        space: int = 0,
        scopes: Sequence[str] = (),
        expire_us: int | None = None,
    ) -> Credential:
        """Adds a key or token; only the hash of its secret is kept."""
        deployment = self._founded()
        is_source = kind == WRITE_KEY
        credential = Credential(
            records.FORMAT,
            self._revision,
            deployment.next_credential,
            hash_credential(secret),
            kind,
            space,
            deployment.next_source if is_source else 0,
            credential_id,
            name,
            list(scopes),
            now_us,
            expire_us,
        )
        self.changes[records.CREDENTIAL + credential.hash] = encode(credential)
        self.set_deployment(
            msgspec.structs.replace(
                deployment,
                next_credential=deployment.next_credential + 1,
                next_source=deployment.next_source + is_source,
            )
        )
        return credential

    def revoke(self, credential: Credential, now_us: int) -> Credential:
        """Revokes a key or token."""
        revoked = msgspec.structs.replace(credential, revoked_us=now_us, revision=self._revision)
        self.changes[records.CREDENTIAL + credential.hash] = encode(revoked)
        return revoked

    def audit_of(
        self, command: Command, space: int, action: str, details: Mapping[str, object]
    ) -> None:
        """Adds a command's entry to the audit trail, once; facts that are None are left out."""
        said = {name: fact for name, fact in details.items() if fact is not None}
        if command.author_name:
            said["actor_name"] = command.author_name
        self.changes.update(
            self._control.audit.add(
                space=space,
                now_us=command.now_us,
                actor=command.author,
                action=action,
                call_id=command.call_id,
                details=msgspec.json.encode(said),
            )
        )

    def audit_as_said(self, command: Occurrence) -> None:
        """Adds the entry of a change that others made."""
        details = msgspec.json.decode(command.details, type=dict[str, object])
        self.audit_of(command, command.space, command.action, details)

    def answer(self, command: Command, answer: Administered) -> Decision[None, Administered]:
        """Decides on this change, and keeps its answer for repetitions of the command."""
        is_news = any(key[:1] in records.HELD_BY_GATEWAYS for key in self.changes)
        revision = self._revision if is_news else self._control.revision
        answer = msgspec.structs.replace(answer, revision=revision)
        if command.request_id:
            self._forget_requests(command.now_us)
            kept = answer.rules and msgspec.structs.replace(answer.rules, document=b"")
            row = RequestRow(
                records.FORMAT,
                command.content,
                command.now_us,
                encode_answer(msgspec.structs.replace(answer, rules=kept)),
            )
            key = records.request_key(command.caller_space, command.request_id)
            self.changes[key] = encode(row)
        return self.decide(answer)

    def decide(self, reply: T) -> Decision[None, T]:
        """Decides on this change."""
        if not self.changes:
            return Decision(reply)
        record = encode(list(self.changes.items()))
        return Decision(reply, record=record, changes=self.changes)

    def _forget_requests(self, now_us: int) -> None:
        """Forgets requests that may be done anew, the oldest first."""
        for key, row in self._control.requests.items():
            if (
                row.made_us > now_us - REQUESTS_KEPT_US
                or len(self.changes) >= REQUESTS_FORGOTTEN_MAX
            ):
                break
            self.changes[key] = None

    def _founded(self) -> Deployment:
        assert self._deployment is not None, "a deployment is founded before anything else"
        return self._deployment
