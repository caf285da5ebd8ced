"""Who may call, as this gateway knows it: a copy of control's directory, renewed twice a second.

Control notes who renewed when, so that a change can wait until every gateway has it. A gateway
that cannot renew lets nobody in after `LEASE_S`: what it knows may be wrong by then.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from unify_grpc.identity.identifiers import KeyMaker
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.control_records import (
    ADMIN_TOKEN,
    WRITE_KEY,
    Credential,
    RulesVersion,
    SpaceRecord,
    hash_credential,
)
from unify_grpc.machines.framing import EarlierRules, MarkMaker, SpaceView
from unify_grpc.machines.gateway_leases import LEASE_S
from unify_grpc.machines.probing import earlier_rules
from unify_grpc.service.backend import CommandFailedError
from unify_grpc.service.errors import (
    CredentialInvalidError,
    ShardUnavailableError,
    SpaceNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from unify_grpc.machines.control_records import DirectoryChanges, SpaceEntry
    from unify_grpc.service.backend import Backend

DEDUPE_WINDOW_DAYS = 30
US_PER_DAY = 86_400_000_000
RENEWAL_INTERVAL_S = 0.5
RENEWAL_TIMEOUT_S = 2.0
"""Of one question to control, but for the first: then there is nothing to serve with."""
FIRST_TIMEOUT_S = 30.0
UNKNOWN_RENEWAL_PAUSE_S = 0.2
"""Unknown keys make the gateway ask control at most this often."""
SPREADING_PAUSE_S = 0.02
CREDENTIAL_CHARS_MAX = 200
_LEASE_US = int(2 * LEASE_S * 1_000_000)
"""Twice that: clocks of gateways and of control differ."""
_NO_CONTROL = "The part of the service that knows who may call does not answer; try again."


@dataclass(frozen=True, slots=True)
class Space:
    """A space as a gateway uses it."""

    record: SpaceRecord
    view: SpaceView
    rules: RulesVersion
    """As written; the view has them ready to be asked."""


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

    def __init__(
        self,
        backend: Backend,
        refused: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        *,
        dedupe_window_days: int = DEDUPE_WINDOW_DAYS,
    ) -> None:
        """Takes what it asks with.

        Args:
            backend: how control is reached.
            refused: keys that are not let in whatever control says: those that everybody knows.
            clock: seconds that never go back; for leases.
            dedupe_window_days: how long a message id is recognised.
        """
        self._backend = backend
        self._dedupe_window_us = dedupe_window_days * US_PER_DAY
        self._clock = clock
        self._refused = {hash_credential(key) for key in refused}
        self._gateway = secrets.token_hex(8)
        self._revision = 0
        self._signing_key = b""
        self._spaces: dict[int, Space] = {}
        """By number, the oldest first."""
        self._space_numbers: dict[str, int] = {}
        """By id and by name."""
        self._credentials: dict[bytes, Credential] = {}
        self._of_space: dict[int, dict[int, Credential]] = {}
        """By space and number, the oldest first."""
        self._sources: dict[int, str] = {}
        self._renewal = asyncio.Lock()
        self._asked = 0.0
        """By the clock, like the next."""
        self._good_until = 0.0

    @property
    def signing_key(self) -> bytes:
        """Signs page tokens, the same on every gateway."""
        assert self._revision, "the directory is loaded before calls are let in"
        return self._signing_key

    # -- the copy ---------------------------------------------------------------------------

    async def renew(self, *, no_older_than_s: float = 0.0) -> None:
        """Asks control, unless that was done less than `no_older_than_s` ago.

        Raises:
            ShardUnavailableError: control does not answer.
        """
        async with self._renewal:
            if self._asked and self._clock() - self._asked < no_older_than_s:
                return
            # Again after news, for control to know at once that they have arrived.
            while await self._ask():
                pass

    async def _ask(self) -> bool:
        """Takes over what changed, and returns whether anything did."""
        asked = self._clock()
        try:
            async with asyncio.timeout(RENEWAL_TIMEOUT_S if self._revision else FIRST_TIMEOUT_S):
                changes = await self._backend.renew_directory(self._gateway, self._revision)
        except TimeoutError:
            raise ShardUnavailableError(_NO_CONTROL) from None
        finally:
            self._asked = self._clock()
        if changes is not None:
            self._take_over(changes)
        # From before the question: control counts from when it answered, so this ends first.
        self._good_until = asked + LEASE_S
        return changes is not None

    async def spread(self, revision: int) -> None:
        """Returns when every live gateway holds a revision, this one too."""
        await self.renew()
        while await self._backend.count_gateways_behind(revision):
            await asyncio.sleep(SPREADING_PAUSE_S)
            await self.renew(no_older_than_s=RENEWAL_INTERVAL_S)

    async def leave(self) -> None:
        """Says that this gateway serves no calls any more, so that no change waits for it."""
        # Unheard, it is forgotten by itself when its lease ends.
        with contextlib.suppress(TimeoutError, ShardUnavailableError, CommandFailedError):
            async with asyncio.timeout(RENEWAL_TIMEOUT_S), self._renewal:
                await self._backend.leave_directory(self._gateway)

    async def see_types(self, space: Space, types: Iterable[str]) -> Space:
        """Has a space meet types of identifiers; returns it with those that it has met by now."""
        await self._backend.see_types(space.record.number, list(types))
        await self.renew()
        return self.present(space)

    def _take_over(self, changes: DirectoryChanges) -> None:
        known = self._spaces
        if changes.is_whole:
            self._spaces, self._space_numbers = {}, {}
            self._credentials, self._of_space, self._sources = {}, {}, {}
        for entry in changes.spaces:
            number = entry.record.number
            self._spaces[number] = _open_space(entry, known.get(number), self._dedupe_window_us)
            self._space_numbers.setdefault(entry.record.name, number)
        for entry in changes.spaces:  # an id goes before a name that reads the same
            self._space_numbers[entry.record.space_id] = entry.record.number
        for each in changes.credentials:
            self._credentials[each.hash] = each
            self._of_space.setdefault(each.space, {})[each.number] = each
            if each.source:
                self._sources[each.source] = each.credential_id
        self._signing_key = changes.signing_key
        self._revision = changes.revision

    # -- questions --------------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether callers can be let in by what is known here."""
        return self._revision > 0 and self._clock() <= self._good_until

    def spaces(self, after: int = 0) -> list[Space]:
        """Returns the spaces with numbers above one, the oldest first."""
        return [space for number, space in self._spaces.items() if number > after]

    def credentials_of(self, space: Space, kind: str, after: int = 0) -> list[Credential]:
        """Returns the keys or tokens of a space with numbers above one, the oldest first."""
        held = self._of_space.get(space.record.number, {})
        return [each for each in held.values() if each.kind == kind and each.number > after]

    def find_space(self, name: str) -> Space:
        """Returns the space of an id or name; `SpaceNotFoundError` if there is none."""
        number = self._space_numbers.get(name)
        if number is None:
            raise SpaceNotFoundError
        return self._spaces[number]

    def present(self, space: Space) -> Space:
        """Returns a space as it is by now."""
        return self._spaces[space.record.number]

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
            ShardUnavailableError: nobody can be let in, since control does not answer.
        """
        key = _key_in(authorization)
        if not key:
            raise CredentialInvalidError
        hashed = hash_credential(key)
        if self._clock() > self._good_until or hashed not in self._credentials:
            await self.renew(no_older_than_s=UNKNOWN_RENEWAL_PAUSE_S)
        credential = self._check(hashed)
        if credential.kind != ADMIN_TOKEN:
            return Caller(credential, self._spaces[credential.space])
        return Caller(credential, self.find_space(space_name) if space_name else None)

    def check_again(self, caller: Caller) -> Caller:
        """Returns a caller that was let in a while ago as it is by now, or raises why not.

        Raises:
            CredentialInvalidError: the key has expired or was revoked since.
            ShardUnavailableError: nobody can be let in, since control does not answer.
        """
        credential = self._check(caller.credential.hash)
        space = caller.space and self._spaces[caller.space.record.number]
        return Caller(credential, space)

    def _check(self, hashed: bytes) -> Credential:
        if self._clock() > self._good_until:
            raise ShardUnavailableError(_NO_CONTROL)
        credential = self._credentials.get(hashed)
        if credential is None or hashed in self._refused or not _holds(credential):
            raise CredentialInvalidError
        return credential


def _open_space(entry: SpaceEntry, known: Space | None, window_us: int) -> Space:
    """Returns a space ready for use; what was found out about it under the same rules stays."""
    record, newest = entry.record, entry.rules
    if known is not None and known.rules.version == newest.version:
        rules = known.view.rules
    else:
        rules = Rules.from_document(msgspec.json.decode(newest.document), newest.version)
    rules = rules.meeting(entry.met_types)
    earlier = _earlier_rules(entry, rules, window_us)
    if known is not None:
        return Space(record, replace(known.view, rules=rules, earlier=earlier), newest)
    keys, marks = KeyMaker(record.secret), MarkMaker(record.secret)
    return Space(record, SpaceView(record.number, rules, keys, marks, earlier), newest)


def _earlier_rules(entry: SpaceEntry, newest: Rules, window_us: int) -> tuple[EarlierRules, ...]:
    """Returns the rules under which messages may be known by other anchors than under the newest.

    A gateway that has not heard of a change goes by the rules before it for `LEASE_S` at most.
    """
    before = []
    for version, replaced_us in entry.earlier:
        document = msgspec.json.decode(version.document)
        rules = Rules.from_document(document, version.version).meeting(entry.met_types)
        before.append((rules, replaced_us))
    return earlier_rules(newest, before, known_us=window_us + _LEASE_US)


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
