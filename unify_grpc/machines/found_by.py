"""Rows by which profiles are found: identifiers by how they begin, members by a trait's value.

Each lies on the shard of what it leads to, and what it leads to is checked when it is found. An
identifier's row is keyed by its text, so that it can be looked for by its beginning. A trait's is
keyed by a hash of its name and value, since it is looked for whole.
"""

from __future__ import annotations

import struct
import unicodedata
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from unify_grpc.identity.identifiers import lower_a_to_z
from unify_grpc.placement.members import MEMBER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unify_grpc.identity.traits import TraitCell
    from unify_grpc.machines.rows import MemberRow
    from unify_grpc.machines.tables import Working

BY_PREFIX: Final = b"i"
BY_TRAIT: Final = b"e"
FORMAT: Final = 1
KEY_BYTES_MAX: Final = 480
"""Of a row's key; LMDB takes no more than 511."""
TRAIT_BYTES_MAX: Final = 256
"""Of a folded value; longer ones are not looked for."""
_SPACE_AND_SIDE = struct.Struct(">IB")
_HASH_BYTES = 8
_TRAIT_HASH_BYTES = 16
_PRESENT = bytes((FORMAT,))

_decode = msgspec.json.Decoder().decode


def prefix_start(space: int, collection: int, type_: str, beginning: str) -> bytes:
    """Returns how the keys of all identifiers that begin like this begin."""
    head = BY_PREFIX + _SPACE_AND_SIDE.pack(space, collection)
    return b"".join((head, type_.encode(), b"\0", beginning.encode()))


def prefix_key(space: int, collection: int, type_: str, value: str, member: bytes) -> bytes:
    """Returns the key of an identifier's row; of a long value the end is a hash."""
    key = prefix_start(space, collection, type_, value)
    if len(key) <= KEY_BYTES_MAX:
        return key
    return key[: KEY_BYTES_MAX - _HASH_BYTES] + member[:_HASH_BYTES]


def put_prefix(working: Working, member: bytes, row: MemberRow) -> None:
    """Lets an identifier be found by how it begins; call it when it comes to a profile."""
    key = prefix_key(row.space, row.collection, row.type, row.value, member)
    working.put(key, _PRESENT + member)


def remove_prefix(working: Working, member: bytes, row: MemberRow) -> None:
    """Lets a deleted identifier be found no more, unless the value has begun its next life."""
    key = prefix_key(row.space, row.collection, row.type, row.value, member)
    stored = working.get(key)
    if stored is not None and prefix_member(stored) == member:
        working.put(key, None)


def prefix_member(data: bytes) -> bytes:
    """Returns the member in an identifier's row; `ValueError` on another format."""
    if data[0] != FORMAT:
        raise ValueError(f"an identifier's row of format {data[0]} is not known here")
    return data[1:]


def fold_text(text: str) -> str:
    """Returns a text as it is compared: in NFC, without regard to the case of A to Z."""
    return lower_a_to_z(unicodedata.normalize("NFC", text))


def folded(value_json: bytes) -> str | None:
    """Returns a trait's value as it is compared; None for one that is not looked for.

    Texts are compared without regard to the case of A to Z, numbers as JSON writes them.
    """
    value = _decode(value_json)
    if isinstance(value, str):
        text = fold_text(value)
    elif value is None or isinstance(value, dict | list):
        return None
    else:
        text = value_json.decode()
    return text if 0 < len(text.encode()) <= TRAIT_BYTES_MAX else None


def trait_start(space: int, collection: int, name: str, text: str) -> bytes:
    """Returns how the keys of all members begin that set a trait to a folded value."""
    state = blake2b(name.encode(), digest_size=_TRAIT_HASH_BYTES)
    state.update(b"\0" + text.encode())
    return BY_TRAIT + _SPACE_AND_SIDE.pack(space, collection) + state.digest()


def trait_member(key: bytes) -> bytes:
    """Returns the member that a trait's row leads to."""
    return key[-MEMBER_BYTES:]


def put_traits(
    working: Working,
    member: bytes,
    row: MemberRow,
    before: Mapping[str, TraitCell],
    after: Mapping[str, TraitCell],
    names: Iterable[str],
) -> None:
    """Lets a member be found by the new values of traits, and no more by the old ones."""
    for name in names:
        old, new = before.get(name), after.get(name)
        if new is None or (old is not None and old.value_json == new.value_json):
            continue
        old_text = None if old is None else folded(old.value_json)
        new_text = folded(new.value_json)
        if old_text == new_text:
            continue
        if old_text is not None:
            start = trait_start(row.space, row.collection, name, old_text)
            working.put(start + member, None)
        if new_text is not None:
            start = trait_start(row.space, row.collection, name, new_text)
            working.put(start + member, _PRESENT)
