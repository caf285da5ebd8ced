"""What control is asked to change, and what it answers.

Time, ids and secrets come with a command: control's machine has no clock and draws nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from unify_grpc.machines.control_records import Credential, RulesVersion, SpaceRecord

SPACE_NAME_TAKEN: Final = "SPACE_NAME_TAKEN"
SPACE_NOT_FOUND: Final = "SPACE_NOT_FOUND"
SOURCE_NOT_FOUND: Final = "SOURCE_NOT_FOUND"
ACCESS_TOKEN_NOT_FOUND: Final = "ACCESS_TOKEN_NOT_FOUND"  # noqa: S105 - a reason
RULES_CHANGED: Final = "RULES_CHANGED"
REQUEST_ID_REUSED: Final = "REQUEST_ID_REUSED"
REQUEST_INVALID: Final = "REQUEST_INVALID"


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An administrative change, and who asks for it."""

    author: str
    """The id of the caller's token; for what the service does at its start, what did it."""
    author_name: str = ""
    """What people call that token."""
    now_us: int
    call_id: str = ""
    """Names the call in logs and in the audit trail."""
    request_id: str = ""
    """Makes a repetition harmless; empty: the command is not idempotent."""
    caller_space: int = 0
    """The space of the caller's token; 0 for an admin token."""
    content: bytes = b""
    """A hash of what the caller asked: one request id is for one content."""


class NewSpace(Command, frozen=True, kw_only=True):
    """Makes a space with a source, its write key and an access token."""

    name: str
    rules: bytes
    """JSON; validated before."""
    space_id: str
    secret: bytes
    write_key: str
    source_id: str
    access_token: str
    access_token_id: str
    scopes: list[str]


class NewRules(Command, frozen=True, kw_only=True):
    """Replaces the rules of a space."""

    space: int
    rules: bytes
    """JSON; validated before."""
    expected_version: int = 0
    """The version that must hold; 0 for any."""


class NewSource(Command, frozen=True, kw_only=True):
    """Makes a source and its write key."""

    space: int
    name: str
    source_id: str
    write_key: str


class NewAccessToken(Command, frozen=True, kw_only=True):
    """Makes an access token."""

    space: int
    name: str
    access_token_id: str
    access_token: str
    scopes: list[str]
    expire_us: int | None = None


class Revocation(Command, frozen=True, kw_only=True):
    """Revokes a write key or an access token for good."""

    space: int
    kind: str
    """`WRITE_KEY` or `ACCESS_TOKEN`."""
    credential_id: str


class Occurrence(Command, frozen=True, kw_only=True):
    """Writes down a change that others than control made, such as a deletion."""

    space: int
    action: str
    """The name of the method."""
    details: bytes
    """A JSON object, without secrets and values of identifiers."""


AnyCommand = NewSpace | NewRules | NewSource | NewAccessToken | Revocation | Occurrence


class Administered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command. A refused one changed nothing."""

    refusal: str = ""
    """The reason, one of those above; empty: it was done."""
    violations: list[tuple[str, str]] = []
    """Of REQUEST_INVALID: (field, what is wrong with it)."""
    is_repeat: bool = False
    """The same request id did it before; its secrets are not known any more."""
    revision: int = 0
    """Whoever holds this revision of the directory knows of it."""
    space: SpaceRecord | None = None
    rules: RulesVersion | None = None
    credentials: list[Credential] = []
    """Made or revoked: of a space its write key and its token, else one; as they are now."""


encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(AnyCommand).decode
decode_administered = msgspec.msgpack.Decoder(Administered).decode


def refused(reason: str) -> Administered:
    """Returns a refusal."""
    return Administered(refusal=reason)


def invalid(violations: list[tuple[str, str]]) -> Administered:
    """Returns the refusal of a request with these faults."""
    return Administered(refusal=REQUEST_INVALID, violations=violations)
