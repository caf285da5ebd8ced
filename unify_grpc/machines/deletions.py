"""Parting a profile from an identifier: what is journaled of it, and the rows that follow.

It takes two journal records, *age first, act second*. The first raises the link epoch of every
member of the profile, so that no shard goes on taking "this identifier is in that profile" for
known. Only when all shards have it, the second retires the identifier's incarnation: that stays a
hidden member of the profile, and the name goes on to its next one.
"""

from __future__ import annotations

import msgspec

from unify_grpc.identity.deletion import DeletionRefusal, judge_deletion
from unify_grpc.identity.identifiers import ACCOUNTS, USERS, Identifier
from unify_grpc.machines import journal
from unify_grpc.machines.formats import checked_decoder
from unify_grpc.machines.links import Founding, LookedUp
from unify_grpc.machines.tables import Working
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

FORMAT = 1
DELETION = b"g"
"""By request id: what became of it; under `OPEN` the one that was aged and not acted on yet."""
OPEN = b"open"


class DeleteCommand(msgspec.Struct, array_like=True, frozen=True):
    """Part a profile from one identifier."""

    request_id: bytes
    """16 bytes: the same on every attempt."""
    space: int
    collection: int
    named: bytes
    """The profile: 16 bytes of an identifier's key, or 20 of a member that founded it."""
    key: bytes
    """Of the identifier to delete."""
    type: str
    value: str
    looked_up: LookedUp
    """What its shard knew of that key a moment ago."""
    named_looked_up: LookedUp
    """The same of the key in `named`."""


class Deleted(msgspec.Struct, array_like=True, frozen=True):
    """What became of a command, told when every shard has taken it over."""

    refusal: int
    """A `DeletionRefusal`; 0: deleted."""
    root: bytes
    """The profile."""


class Ageing(msgspec.Struct, array_like=True, frozen=True):
    """Journaled before anything is deleted."""

    format: int
    seq: int
    command: DeleteCommand
    root: bytes
    member: bytes
    """The identifier's present incarnation, at the time of the record."""
    adopted: Founding | None
    """Of a profile that an event founded and no link had touched: it is taken over first."""


class Deletion(msgspec.Struct, array_like=True, frozen=True):
    """Journaled when all shards have aged; with a refusal it only ends the ageing."""

    format: int
    seq: int
    command: DeleteCommand
    root: bytes
    member: bytes
    refusal: int


class DeletionRow(msgspec.Struct, array_like=True, frozen=True):
    """A command that was done with."""

    format: int
    record: int
    """The journal record that every shard has to have."""
    deleted: Deleted
    command: DeleteCommand


class OpenRow(msgspec.Struct, array_like=True, frozen=True):
    """An ageing whose deletion is not journaled yet."""

    format: int
    record: int
    ageing: Ageing


encode = journal.encode
decode_command = msgspec.msgpack.Decoder(DeleteCommand).decode
decode_deleted = msgspec.msgpack.Decoder(Deleted).decode
decode_ageing = checked_decoder(Ageing, FORMAT)
decode_deletion = checked_decoder(Deletion, FORMAT)
decode_row = checked_decoder(DeletionRow, FORMAT)
decode_open = checked_decoder(OpenRow, FORMAT)


def judge(working: Working, command: DeleteCommand, incarnations: dict[bytes, int]) -> Ageing:
    """Decides what a command comes to, as the tables stand; its `seq` is 0.

    Raises:
        DeletionRefusedError: with the reason and the profile; nothing is to be journaled.
    """
    member = _present(command.key, command.looked_up, incarnations)
    named = command.named
    if len(named) == KEY_BYTES:
        named = _present(named, command.named_looked_up, incarnations)
    found = journal.find_member(working, named)
    if found is None:
        return _adopt(command, named, member)
    row = journal.read_profile(working, found.root)
    if (row.space, row.collection) != (command.space, command.collection):
        # Whose it is answers as if it did not exist, however equal the identifiers in it are.
        raise DeletionRefusedError(DeletionRefusal.NOT_ON_PROFILE, named)
    wanted = _identifier(command)
    held = []
    for each, _, _, _, is_hidden in row.members:
        bound = journal.find_member(working, each)
        assert bound is not None, "a profile lists a member without a row"
        if not is_hidden:
            held.append(Identifier(wanted.collection, bound.type, bound.value))
    looked_up_by = wanted if command.named == command.key else None
    refused = judge_deletion([wanted], held, looked_up_by)
    if wanted in refused:
        raise DeletionRefusedError(refused[wanted], found.root)
    return Ageing(FORMAT, 0, command, found.root, member, None)


def _adopt(command: DeleteCommand, named: bytes, member: bytes) -> Ageing:
    """Decides for a profile that no link has touched: it holds one identifier."""
    founding = command.named_looked_up.founding
    if founding is None or incarnation_of(named) != command.named_looked_up.incarnation:
        raise DeletionRefusedError(DeletionRefusal.NOT_ON_PROFILE, named)
    wanted = _identifier(command)
    held = [wanted] if named == member else []
    looked_up_by = wanted if command.named == command.key else None
    refused = judge_deletion([wanted], held, looked_up_by)
    if wanted in refused:
        raise DeletionRefusedError(refused[wanted], named)
    return Ageing(FORMAT, 0, command, named, member, founding)


class DeletionRefusedError(Exception):
    """An identifier stays on its profile."""

    def __init__(self, refusal: DeletionRefusal, root: bytes) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal
        self.root = root


def apply_ageing(working: Working, ageing: Ageing, record: int) -> None:
    """Lays the rows of an ageing over the tables."""
    if ageing.adopted is not None and journal.find_member(working, ageing.member) is None:
        _apply_adoption(working, ageing, ageing.adopted)
    for member, *_ in journal.read_profile(working, ageing.root).members:
        bound = journal.find_member(working, member)
        assert bound is not None, "a profile lists a member without a row"
        aged = msgspec.structs.replace(bound, link_epoch=ageing.seq)
        working.put(journal.MEMBER + member, encode(aged))
    working.put(DELETION + OPEN, encode(OpenRow(FORMAT, record, ageing)))
    journal.put_meta(working, ageing.seq)


def _apply_adoption(working: Working, ageing: Ageing, founding: Founding) -> None:
    command, root = ageing.command, ageing.root
    row = journal.MemberRow(
        journal.FORMAT,
        root,
        command.type,
        command.value,
        founding.time_us,
        founding.source,
        founding.message_id,
        founding_known=True,
        link_epoch=0,
    )
    working.put(journal.MEMBER + root, encode(row))
    members = [(root, command.type, founding.time_us, ageing.seq, False)]
    profile = journal.ProfileRow(
        journal.FORMAT,
        command.space,
        command.collection,
        ageing.seq,
        founding.stamp_us,
        0,
        0,
        members,
    )
    working.put(journal.PROFILE + root, encode(profile))


def apply_deletion(working: Working, deletion: Deletion, record: int) -> None:
    """Lays the rows of a deletion over the tables; with a refusal it ends the ageing only."""
    command = deletion.command
    if not deletion.refusal:
        row = journal.read_profile(working, deletion.root)
        members = [
            (*each[:4], True) if each[0] == deletion.member else each for each in row.members
        ]
        changed = msgspec.structs.replace(row, seq=deletion.seq, members=members)
        working.put(journal.PROFILE + deletion.root, encode(changed))
        following = incarnation_of(deletion.member) + 1
        working.put(journal.NAME + command.key, following.to_bytes(4, "big"))
    deleted = Deleted(deletion.refusal, deletion.root)
    kept = DeletionRow(FORMAT, record, deleted, command)
    working.put(DELETION + command.request_id, encode(kept))
    working.put(DELETION + OPEN, None)
    journal.put_meta(working, deletion.seq)


def find_done(working: Working, request_id: bytes) -> DeletionRow | None:
    """Returns what became of a command, or None if that is not journaled."""
    data = working.get(DELETION + request_id)
    return decode_row(data) if data is not None else None


def find_open(working: Working) -> OpenRow | None:
    """Returns the ageing that awaits its deletion, if there is one."""
    data = working.get(DELETION + OPEN)
    return decode_open(data) if data is not None else None


def _identifier(command: DeleteCommand) -> Identifier:
    return Identifier((USERS, ACCOUNTS)[command.collection], command.type, command.value)


def _present(key: bytes, looked_up: LookedUp, incarnations: dict[bytes, int]) -> bytes:
    """Returns a key's present member; the tables outrank a look-up."""
    return member_of(key, incarnations.get(key, looked_up.incarnation))
