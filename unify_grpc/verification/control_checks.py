"""Checks control's rows: spaces, rules, credentials, and who changed them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from unify_grpc.identity.rules import Rules
from unify_grpc.machines import control_records as records
from unify_grpc.machines.audit_trail import ENTRY, OF_SPACE, decode_entry
from unify_grpc.machines.control_commands import decode_administered
from unify_grpc.machines.control_machine import MACHINE_VERSION
from unify_grpc.machines.row_names import row_name
from unify_grpc.verification.claims import SpaceClaim, digest_of
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.judging import Verdict, doubt
from unify_grpc.verification.records import check_record

if TYPE_CHECKING:
    from unify_grpc.verification.claims import Claim
    from unify_grpc.verification.slices import Slice
    from unify_grpc.verification.views import CheckedRecord

_NUMBER_BYTES: Final = 8
_SPACE_BYTES: Final = 4
_KINDS: Final = {records.WRITE_KEY, records.ACCESS_TOKEN, records.ADMIN_TOKEN}
_ROWS_AT_ONCE: Final = 256

_decode_changes = msgspec.msgpack.Decoder(list[tuple[bytes, bytes | None]]).decode


class ControlLogWalk:
    """Goes through control's log: every record is there, and the rows follow from it."""

    name = "log"

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes on behind a record."""
        number = int.from_bytes(cursor, "big")
        while number < slice_.last:
            number += 1
            check_record(slice_, number, MACHINE_VERSION, None, self._check)
            if slice_.is_full:
                return number.to_bytes(_NUMBER_BYTES, "big")
        return None

    def again(self, slice_: Slice, key: bytes) -> None:
        """Nothing here claims anything."""

    @staticmethod
    def _check(slice_: Slice, number: int, record: CheckedRecord, course: None) -> None:
        del number, course
        for key, logged in _decode_changes(bytes(record.payload)):
            slice_.work += 1
            if logged is not None and not _follows(key, logged, slice_.view.get(key)):
                text = f"{slice_.name} wrote {row_name(key)}, which is another now"
                slice_.find(Invariant.SPACES, text)


class UniqueWalk:
    """Looks at all spaces and all credentials at once: names and numbers are given once."""

    name = "names and numbers"

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes through both tables: they are small."""
        del cursor
        slice_.attempt(lambda: self._spaces(slice_))
        slice_.attempt(lambda: self._credentials(slice_))
        return None

    def again(self, slice_: Slice, key: bytes) -> None:
        """Nothing here claims anything."""

    @staticmethod
    def _spaces(slice_: Slice) -> None:
        names, ids = set[str](), set[str]()
        for key, value in _rows(slice_, records.SPACE):
            space = records.decode_space(value)
            slice_.turn_to(key)
            slice_.require(
                space.name not in names and space.space_id not in ids,
                Invariant.SPACES,
                "another space has its name or id",
            )
            names.add(space.name)
            ids.add(space.space_id)

    @staticmethod
    def _credentials(slice_: Slice) -> None:
        numbers, sources = set[int](), set[int]()
        for key, value in _rows(slice_, records.CREDENTIAL):
            credential = records.decode_credential(value)
            slice_.turn_to(key)
            slice_.require(
                credential.number not in numbers
                and (not credential.source or credential.source not in sources),
                Invariant.SPACES,
                "another credential has its number or source",
            )
            numbers.add(credential.number)
            sources.add(credential.source)


def check_space(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks a space: it has its rules, all versions of them."""
    space = records.decode_space(value)
    slice_.require(
        key == records.space_key(space.number)
        and space.number < _deployment(slice_).next_space
        and space.rules_version > 0,
        Invariant.SPACES,
        "its number is another's or was never given, or it has no rules",
    )
    for version in range(1, space.rules_version + 1):
        slice_.work += 1
        slice_.require(
            slice_.view.get(records.rules_key(space.number, version)) is not None,
            Invariant.SPACES,
            f"version {version} of its rules is missing",
        )


def check_rules(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks a version of a space's rules."""
    rules = records.decode_rules(value)
    slice_.work += 4
    Rules.from_document(msgspec.json.decode(rules.document), rules.version)
    number = int.from_bytes(key[1 : 1 + _SPACE_BYTES], "big")
    space = _space(slice_, number)
    slice_.require(
        space is not None
        and rules.version <= space.rules_version
        and key == records.rules_key(number, rules.version),
        Invariant.SPACES,
        "they are rules of no space, or never held",
    )


def check_met_types(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks the types that a space met."""
    met = records.decode_met_types(value)
    slice_.require(
        len(set(met.types)) == len(met.types)
        and _space(slice_, int.from_bytes(key[1:], "big")) is not None,
        Invariant.SPACES,
        "they are of no space, or one is there twice",
    )


def check_credential(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks a key or token."""
    credential = records.decode_credential(value)
    deployment = _deployment(slice_)
    is_admin = credential.kind == records.ADMIN_TOKEN
    slice_.require(
        key[1:] == credential.hash
        and credential.kind in _KINDS
        and credential.number < deployment.next_credential
        and credential.source < deployment.next_source
        and bool(credential.source) == (credential.kind == records.WRITE_KEY),
        Invariant.SPACES,
        "it is another's, of no known kind, or its numbers were never given",
    )
    slice_.require(
        is_admin if not credential.space else _space(slice_, credential.space) is not None,
        Invariant.SPACES,
        "it opens a space that is not there",
    )


def check_request(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks the answer that is kept for a repeated request."""
    del slice_, key
    decode_administered(records.decode_request(value).answer)


def check_deployment(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks what is one for the whole deployment."""
    deployment = records.decode_deployment(value)
    slice_.require(
        key == records.DEPLOYMENT and bool(deployment.signing_key),
        Invariant.SPACES,
        "nothing can be signed",
    )


def check_entry(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks an entry of the audit trail: it follows another, and not earlier in time."""
    entry, number = decode_entry(value), int.from_bytes(key[1:], "big")
    slice_.require(entry.number == number, Invariant.AUDIT_TRAIL, "it has another number")
    if entry.space:
        slice_.tallies["entries"] += 1
    if number <= 1:
        return
    before = slice_.view.get(ENTRY + (number - 1).to_bytes(_NUMBER_BYTES, "big"))
    if slice_.require(before is not None, Invariant.AUDIT_TRAIL, f"entry {number - 1} is missing"):
        slice_.require(
            decode_entry(before or b"").created_us <= entry.created_us,
            Invariant.AUDIT_TRAIL,
            "it is older than the entry before it",
        )


def check_place(slice_: Slice, key: bytes, value: bytes) -> None:
    """Checks a place in the audit trail of a space."""
    space = int.from_bytes(key[1 : 1 + _SPACE_BYTES], "big")
    place = int.from_bytes(key[1 + _SPACE_BYTES :], "big")
    entry = slice_.view.get(ENTRY + value)
    slice_.require(
        entry is not None and decode_entry(entry).space == space,
        Invariant.AUDIT_TRAIL,
        "it leads to no entry of its space",
    )
    slice_.tallies["places"] += 1
    if place > 1:
        head = OF_SPACE + space.to_bytes(_SPACE_BYTES, "big")
        before = slice_.view.get(head + (place - 1).to_bytes(_NUMBER_BYTES, "big"))
        slice_.require(
            before is not None and before < value,
            Invariant.AUDIT_TRAIL,
            "the place before it is missing, or comes later",
        )


class ControlJudge:
    """Judges, at control, what others claim of it."""

    def judge(self, slice_: Slice, claim: Claim) -> Verdict:
        """Says whether a claim holds; raises what reading raises."""
        assert isinstance(claim, SpaceClaim), "control judges about spaces"
        space = _space(slice_, claim.space)
        if space is None:
            return doubt(Invariant.SPACES, f"space {claim.space} is used, and control has none")
        if claim.rules_version > space.rules_version:
            text = f"version {claim.rules_version} of the rules of space {claim.space} is to come"
            return doubt(Invariant.SPACES, text)
        if claim.document:
            key = records.rules_key(claim.space, claim.rules_version)
            data = slice_.view.get(key)
            if data is None or digest_of(records.decode_rules(data).document) != claim.document:
                text = f"version {claim.rules_version} of the rules of space {claim.space} differs"
                return doubt(Invariant.SPACES, text)
        return None


def _follows(key: bytes, logged: bytes, present: bytes | None) -> bool:
    """Whether a row may be what it is after it was once written like this.

    Requests are forgotten; of what changes, the rest stays as it was.
    """
    table = key[:1]
    if table == records.REQUEST or logged == present:
        return True
    if present is None:
        return False
    if table == records.SPACE:
        space, now = records.decode_space(logged), records.decode_space(present)
        changed: dict[str, Any] = {"revision": now.revision, "rules_version": now.rules_version}
        return (
            msgspec.structs.replace(space, **changed) == now
            and space.rules_version < now.rules_version
        )
    if table == records.CREDENTIAL:
        credential, held = records.decode_credential(logged), records.decode_credential(present)
        changes: dict[str, Any] = {"revision": held.revision, "revoked_us": held.revoked_us}
        return (
            msgspec.structs.replace(credential, **changes) == held and credential.revoked_us is None
        )
    if table == records.MET_TYPES:
        types = records.decode_met_types(logged).types
        return records.decode_met_types(present).types[: len(types)] == types
    if table == records.DEPLOYMENT:
        one, later = records.decode_deployment(logged), records.decode_deployment(present)
        return one.signing_key == later.signing_key and (
            (one.next_space, one.next_source, one.next_credential)
            <= (later.next_space, later.next_source, later.next_credential)
        )
    return False


def _deployment(slice_: Slice) -> records.Deployment:
    data = slice_.view.get(records.DEPLOYMENT)
    if data is None:
        raise ValueError("there is no deployment")
    return records.decode_deployment(data)


def _space(slice_: Slice, number: int) -> records.SpaceRecord | None:
    data = slice_.view.get(records.space_key(number))
    return records.decode_space(data) if data is not None else None


def _rows(slice_: Slice, table: bytes) -> list[tuple[bytes, bytes]]:
    """Returns all rows of a table that are as they were written."""
    found: list[tuple[bytes, bytes]] = []
    after: bytes | None = b""
    while after is not None:
        listed = slice_.view.list_rows(table, after=after, limit=_ROWS_AT_ONCE)
        found.extend((key, value) for key, value in listed.rows if value is not None)
        slice_.work += len(listed.rows)
        after = listed.after
    return found
