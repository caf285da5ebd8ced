"""Who may call, as this gateway knows it: a copy of control's directory, renewed when asked for."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.control_machine import (
    ADMIN_TOKEN,
    WRITE_KEY,
    Credential,
    Directory,
    SpaceRecord,
    hash_credential,
)
from unify_grpc.machines.framing import MarkMaker, SpaceView
from unify_grpc.service.errors import CredentialInvalidError, SpaceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection

    from unify_grpc.service.backend import Backend

RENEWAL_INTERVAL_S = 2.0
"""A revoked key works nowhere after this and one call to control."""
UNKNOWN_RENEWAL_PAUSE_S = 0.2
"""Unknown keys make the gateway ask control at most this often."""
CREDENTIAL_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Space:
    """A space as a gateway uses it."""

    record: SpaceRecord
    view: SpaceView


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what for."""

    credential: Credential
    space: Space | None
    """None for an admin token that names no space."""

    def has(self, scope: str) -> bool:
        """Whether the caller's token has a scope; an admin token has all."""
        kind = self.credential.kind
        return kind == ADMIN_TOKEN or (kind != WRITE_KEY and scope in self.credential.scopes)


class SpaceDirectory:
    """Spaces and credentials of the deployment."""

    def __init__(self, backend: Backend, refused: Collection[str] = ()) -> None:
        """Takes the keys that are not let in whatever control says: those that everybody knows."""
        self._backend = backend
        self._refused = {hash_credential(key) for key in refused}
        self._directory: Directory | None = None
        self._by_number: dict[int, Space] = {}
        self._by_hash: dict[bytes, Credential] = {}
        self._sources: dict[int, str] = {}
        self._renewal = asyncio.Lock()
        self._renewed = 0.0

    @property
    def signing_key(self) -> bytes:
        """Signs page tokens, the same on every gateway."""
        assert self._directory is not None, "the directory is loaded before calls are let in"
        return self._directory.signing_key

    async def renew(self, *, no_older_than_s: float = 0.0) -> None:
        """Asks control, unless that was done less than `no_older_than_s` ago."""
        async with self._renewal:
            if self._renewed and time.monotonic() - self._renewed < no_older_than_s:
                return
            try:
                directory = await self._backend.directory()
            finally:
                self._renewed = time.monotonic()
            if self._directory is None or directory != self._directory:
                self._take_over(directory)

    def _take_over(self, directory: Directory) -> None:
        for record in directory.spaces:
            known = self._by_number.get(record.number)
            if known is None or known.record != record:
                self._by_number[record.number] = _open_space(record)
        self._by_hash = {each.hash: each for each in directory.credentials}
        self._sources = {
            each.source: each.credential_id for each in directory.credentials if each.source
        }
        self._directory = directory

    def spaces(self) -> list[Space]:
        """Returns all spaces, oldest first."""
        return [self._by_number[number] for number in sorted(self._by_number)]

    def find_space(self, name: str) -> Space:
        """Returns the space of an id or name; `SpaceNotFoundError` if there is none."""
        for space in self._by_number.values():
            if name in {space.record.space_id, space.record.name}:
                return space
        raise SpaceNotFoundError

    def source_id(self, number: int) -> str:
        """Returns the public id of a source; empty if it is not known."""
        return self._sources.get(number, "")

    async def authenticate(self, authorization: str, space_name: str) -> Caller:
        """Returns who calls.

        Args:
            authorization: `Bearer KEY`, or `Basic` with the key as user name.
            space_name: the space that an admin token names; empty if none.

        Raises:
            CredentialInvalidError: the key is not known, has expired or was revoked.
            SpaceNotFoundError: an admin token names a space that does not exist.
        """
        key = _key_in(authorization)
        if not key:
            raise CredentialInvalidError
        hashed = hash_credential(key)
        credential = self._by_hash.get(hashed)
        if credential is None:
            await self.renew(no_older_than_s=UNKNOWN_RENEWAL_PAUSE_S)
            credential = self._by_hash.get(hashed)
        if credential is None or hashed in self._refused or not _holds(credential):
            raise CredentialInvalidError
        if credential.kind != ADMIN_TOKEN:
            return Caller(credential, self._by_number[credential.space])
        return Caller(credential, self.find_space(space_name) if space_name else None)


def _open_space(record: SpaceRecord) -> Space:
    newest = record.rules[-1]
    rules = Rules.from_document(msgspec.json.decode(newest.document), newest.version)
    view = SpaceView(record.number, rules, KeyMaker(record.secret), MarkMaker(record.secret))
    return Space(record, view)


def _holds(credential: Credential) -> bool:
    if credential.revoked_us is not None:
        return False
    return credential.expire_us is None or time.time_ns() // 1000 < credential.expire_us


def _key_in(authorization: str) -> str:
    """Returns the key in an `authorization` value; empty if there is none."""
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    if len(rest) > 2 * CREDENTIAL_CHARS_MAX:
        return ""
    if scheme.lower() == "bearer":
        return rest
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(rest, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return decoded.partition(":")[0]
