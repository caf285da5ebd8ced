"""What control keeps, and what gateways hold a copy of.

A row key is a table byte and the key in that table. Keys and tokens are kept as hashes: they are
256 random bits, so a plain hash is enough.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from unify_grpc.machines.formats import checked_decoder

FORMAT: Final = 2
SPACE: Final = b"s"
RULES: Final = b"r"
MET_TYPES: Final = b"t"
CREDENTIAL: Final = b"c"
REQUEST: Final = b"q"
DEPLOYMENT: Final = b"g"
HELD_BY_GATEWAYS: Final = frozenset({SPACE, MET_TYPES, CREDENTIAL})
"""Rows that name the revision of the directory they changed in."""

WRITE_KEY: Final = "write_key"
ACCESS_TOKEN: Final = "access_token"  # noqa: S105 - a kind
ADMIN_TOKEN: Final = "admin_token"  # noqa: S105 - a kind
SCOPES: Final = ("read", "pii", "delete", "rules")


class Deployment(msgspec.Struct, array_like=True, frozen=True):
    """What is one for the whole deployment. Numbers count up and are never used again."""

    format: int
    signing_key: bytes
    """Signs page tokens; 32 bytes."""
    next_space: int
    next_source: int
    next_credential: int


class SpaceRecord(msgspec.Struct, array_like=True, frozen=True):
    """A space as control keeps it."""

    format: int
    revision: int
    """Of the directory, when this last changed; so in the other rows that gateways hold."""
    number: int
    """Short name inside the service; never used again."""
    space_id: str
    name: str
    created_us: int
    secret: bytes
    """Keys the hashes of the space's identifiers and message ids; 32 bytes."""
    rules_version: int
    """The one that holds; all versions from 1 are kept."""


class RulesVersion(msgspec.Struct, array_like=True, frozen=True):
    """One version of a space's rules."""

    format: int
    version: int
    document: bytes
    """JSON, the document of a rules file with every default written out."""
    created_us: int
    author: str


class MetTypes(msgspec.Struct, array_like=True, frozen=True):
    """The types of identifiers that a space met in events."""

    format: int
    revision: int
    types: list[str]
    """In the order they were met. A type that was listed then is not among them."""


class Credential(msgspec.Struct, array_like=True, frozen=True):
    """A key or token that may call."""

    format: int
    revision: int
    number: int
    """Counts the deployment's credentials: the older, the smaller."""
    hash: bytes
    kind: str
    space: int
    """0 for an admin token."""
    source: int
    """Of a write key: the number of its source."""
    credential_id: str
    """Of a write key: the public id of its source."""
    name: str
    scopes: list[str]
    created_us: int
    expire_us: int | None = None
    revoked_us: int | None = None


class RequestRow(msgspec.Struct, array_like=True, frozen=True):
    """A write that carried a request id, kept for its repetitions."""

    format: int
    content: bytes
    """A hash of what was asked."""
    made_us: int
    answer: bytes
    """Packed `Administered`, without the rules' document."""


class SpaceEntry(msgspec.Struct, array_like=True, frozen=True):
    """A space as gateways hold it."""

    record: SpaceRecord
    rules: RulesVersion
    """The version that holds."""
    met_types: list[str]
    earlier: list[tuple[RulesVersion, int]]
    """(rules that held before, when the next version took their place), the newest first."""


class DirectoryChanges(msgspec.Struct, array_like=True, frozen=True):
    """What changed in the directory since the revision that a gateway holds."""

    revision: int
    is_whole: bool
    """It is everything, and takes the place of what the gateway holds."""
    signing_key: bytes
    spaces: list[SpaceEntry]
    credentials: list[Credential]


encode = msgspec.msgpack.Encoder().encode
decode_deployment = checked_decoder(Deployment, FORMAT)
decode_space = checked_decoder(SpaceRecord, FORMAT)
decode_rules = checked_decoder(RulesVersion, FORMAT)
decode_met_types = checked_decoder(MetTypes, FORMAT)
decode_credential = checked_decoder(Credential, FORMAT)
decode_request = checked_decoder(RequestRow, FORMAT)


def hash_credential(text: str) -> bytes:
    """Returns what is stored of a key or token."""
    return sha256(text.encode()).digest()


def space_key(space: int) -> bytes:
    """Returns the key of a space's row."""
    return SPACE + space.to_bytes(4, "big")


def rules_key(space: int, version: int) -> bytes:
    """Returns the key of a version of a space's rules."""
    return RULES + space.to_bytes(4, "big") + version.to_bytes(4, "big")


def met_types_key(space: int) -> bytes:
    """Returns the key of the types that a space met."""
    return MET_TYPES + space.to_bytes(4, "big")


def request_key(space: int, request_id: str) -> bytes:
    """Returns the key of a write by its request id; ids of two spaces' callers never meet."""
    return REQUEST + space.to_bytes(4, "big") + request_id.encode()
