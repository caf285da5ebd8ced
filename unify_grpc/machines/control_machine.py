"""The decisions of control: spaces, their rules, and who may call.

Small enough to be held in memory whole. Time and secrets come with the command. Keys and tokens
are kept as hashes: they are 256 random bits, so a plain hash is enough.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeVar

import msgspec

from unify_grpc.identity.rules import Rules
from unify_grpc.machines.formats import checked_decoder
from unify_grpc.machines.tables import Changes, Decision, View

T = TypeVar("T")

FORMAT = 1
MACHINE_VERSION = 1
_SPACE = b"s"
_CREDENTIAL = b"c"
_REQUEST = b"q"
_DEPLOYMENT = b"g"

WRITE_KEY = "write_key"
ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind
ADMIN_TOKEN = "admin_token"  # noqa: S105 - a kind
SCOPES = ("read", "pii", "delete", "rules")


class RulesVersion(msgspec.Struct, array_like=True, frozen=True):
    """One version of a space's rules."""

    version: int
    document: bytes
    """JSON, the document of a rules file."""
    created_us: int
    author: str


class SpaceRecord(msgspec.Struct, array_like=True, frozen=True):
    """A space as control keeps it."""

    format: int
    number: int
    """Short name inside the service; never used again."""
    space_id: str
    name: str
    created_us: int
    secret: bytes
    """Keys the hashes of the space's identifiers and message ids; 32 bytes."""
    rules: list[RulesVersion]
    """Oldest first, the last one holds."""


class Credential(msgspec.Struct, array_like=True, frozen=True):
    """A key or token that may call."""

    format: int
    hash: bytes
    kind: str
    space: int
    """0 for an admin token."""
    source: int
    """Of a write key: the number of its source."""
    credential_id: str
    name: str
    scopes: list[str]
    created_us: int
    expire_us: int | None = None
    revoked_us: int | None = None


class Deployment(msgspec.Struct, array_like=True, frozen=True):
    """What is one for the whole deployment."""

    format: int
    signing_key: bytes
    """Signs page tokens; 32 bytes."""
    next_space: int
    next_source: int


class Directory(msgspec.Struct, array_like=True, frozen=True):
    """Everything a gateway needs to know to let calls in."""

    revision: int
    signing_key: bytes
    spaces: list[SpaceRecord]
    credentials: list[Credential]


class NewSpace(msgspec.Struct, frozen=True, kw_only=True):
    """The command that makes a space, with the secrets drawn for it."""

    name: str
    rules: bytes
    """JSON; validated before."""
    request_id: str
    author: str
    now_us: int
    space_id: str
    secret: bytes
    write_key: str
    source_id: str
    access_token: str
    access_token_id: str
    scopes: list[str]


class SpaceCreated(msgspec.Struct, array_like=True, frozen=True):
    """What became of a `NewSpace`."""

    space: SpaceRecord | None
    """None: the name is taken."""
    is_repeat: bool
    """The same request id made it before; its secrets are not known any more."""


_encode = msgspec.msgpack.Encoder().encode
_decode_space = checked_decoder(SpaceRecord, FORMAT)
_decode_credential = checked_decoder(Credential, FORMAT)
_decode_deployment = checked_decoder(Deployment, FORMAT)
_decode_changes = msgspec.msgpack.Decoder(list[tuple[bytes, bytes | None]]).decode


def hash_credential(text: str) -> bytes:
    """Returns what is stored of a key or token."""
    return sha256(text.encode()).digest()


class ControlMachine:
    """Decides about spaces and credentials."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.revision = 0
        self.deployment: Deployment | None = None
        self.spaces: dict[int, SpaceRecord] = {}
        self.credentials: dict[bytes, Credential] = {}
        self.requests: dict[str, int] = {}

    def load(self) -> None:
        """Reads everything from a checkpointed view."""
        for table in (_SPACE, _CREDENTIAL, _REQUEST, _DEPLOYMENT):
            self.committed(dict(self.view.scan(table)))

    def replay(self, number: int, record: bytes) -> Changes:
        """Returns the changes that a record stands for: it holds them."""
        del number
        return dict(_decode_changes(record))

    def committed(self, changes: Changes) -> None:
        """Takes over published changes."""
        for key, value in changes.items():
            assert value is not None, "control deletes nothing"
            table = key[:1]
            if table == _SPACE:
                space = _decode_space(value)
                self.spaces[space.number] = space
            elif table == _CREDENTIAL:
                credential = _decode_credential(value)
                self.credentials[credential.hash] = credential
            elif table == _REQUEST:
                self.requests[key[1:].decode()] = int.from_bytes(value, "big")
            else:
                self.deployment = _decode_deployment(value)
        if changes:
            self.revision += 1

    def found(self, signing_key: bytes, admin_token: str, now_us: int) -> Decision[None, None]:
        """Founds a deployment, once, with its first admin token if one is given."""
        if self.deployment is not None and not admin_token:
            return Decision(None)
        changes: Changes = {}
        if self.deployment is None:
            changes[_DEPLOYMENT] = _encode(Deployment(FORMAT, signing_key, 1, 1))
        if admin_token and hash_credential(admin_token) not in self.credentials:
            credential = Credential(
                FORMAT,
                hash_credential(admin_token),
                ADMIN_TOKEN,
                0,
                0,
                "admin",
                "admin",
                [],
                now_us,
            )
            changes[_CREDENTIAL + credential.hash] = _encode(credential)
        return _decide(None, changes)

    def create_space(self, command: NewSpace) -> Decision[None, SpaceCreated]:
        """Makes a space with a write key and an access token.

        Raises:
            RulesInvalid: the rules are not a valid document; every error is listed.
        """
        Rules.from_document(msgspec.json.decode(command.rules), 1)
        made = self.requests.get(command.request_id) if command.request_id else None
        if made is not None:
            return Decision(SpaceCreated(self.spaces[made], is_repeat=True))
        if any(space.name == command.name for space in self.spaces.values()):
            return Decision(SpaceCreated(None, is_repeat=False))
        deployment = self.deployment
        assert deployment is not None, "a deployment is founded before its spaces"
        space = _space_of(command, deployment.next_space)
        write_key, access_token = _credentials_of(command, deployment)
        counted = msgspec.structs.replace(
            deployment,
            next_space=deployment.next_space + 1,
            next_source=deployment.next_source + 1,
        )
        number = space.number.to_bytes(4, "big")
        changes: Changes = {
            _SPACE + number: _encode(space),
            _CREDENTIAL + write_key.hash: _encode(write_key),
            _CREDENTIAL + access_token.hash: _encode(access_token),
            _DEPLOYMENT: _encode(counted),
        }
        if command.request_id:
            changes[_REQUEST + command.request_id.encode()] = number
        return _decide(SpaceCreated(space, is_repeat=False), changes)

    def directory(self) -> Directory:
        """Returns all that gateways need."""
        assert self.deployment is not None, "a deployment is founded first"
        return Directory(
            self.revision,
            self.deployment.signing_key,
            list(self.spaces.values()),
            list(self.credentials.values()),
        )


def _space_of(command: NewSpace, number: int) -> SpaceRecord:
    rules = RulesVersion(1, command.rules, command.now_us, command.author)
    return SpaceRecord(
        FORMAT, number, command.space_id, command.name, command.now_us, command.secret, [rules]
    )


def _credentials_of(command: NewSpace, deployment: Deployment) -> tuple[Credential, Credential]:
    """Returns the write key and the access token that a new space starts with."""
    write_key = Credential(
        FORMAT,
        hash_credential(command.write_key),
        WRITE_KEY,
        deployment.next_space,
        deployment.next_source,
        command.source_id,
        "default",
        [],
        command.now_us,
    )
    access_token = Credential(
        FORMAT,
        hash_credential(command.access_token),
        ACCESS_TOKEN,
        deployment.next_space,
        0,
        command.access_token_id,
        "default",
        command.scopes,
        command.now_us,
    )
    return write_key, access_token


def _decide(reply: T, changes: Changes) -> Decision[None, T]:
    if not changes:
        return Decision(reply)
    return Decision(reply, record=_encode(list(changes.items())), changes=changes)
