"""Members, and the public ids named after them.

A *member* is one incarnation of an identifier: its 16-byte key and a 4-byte incarnation. A
segment_id is a prefix for the collection and the base62 form of the member that founded the
profile. The alphabet is in ASCII order and the text has a fixed length, so comparing two
segment_ids of a collection compares their members.
"""

from __future__ import annotations

KEY_BYTES = 16
MEMBER_BYTES = 20
INCARNATION_MAX = 2**32 - 1

PREFIXES = {"users": "use_", "accounts": "acc_"}
_COLLECTIONS = {prefix: collection for collection, prefix in PREFIXES.items()}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_TEXT_LENGTH = 27
"""Enough base62 digits for 160 bits; the first digit is small."""

FIRST_INCARNATION = b"\0\0\0\0"


def member_of(key: bytes, incarnation: int) -> bytes:
    """Returns the 20-byte member of a key in one of its incarnations."""
    return key + incarnation.to_bytes(4, "big")


def incarnation_of(member: bytes) -> int:
    """Returns which life of its identifier a member is, from 0."""
    return int.from_bytes(member[KEY_BYTES:], "big")


def segment_id_of(collection: str, member: bytes) -> str:
    """Returns the public id of the profile that this member founded."""
    number = int.from_bytes(member, "big")
    pairs = []
    for _ in range(_TEXT_LENGTH // 2 + 1):
        number, pair = divmod(number, 3844)
        pairs.append(_PAIRS[pair])
    return PREFIXES[collection] + "".join(reversed(pairs))[1:]


def member_of_segment_id(segment_id: str) -> tuple[str, bytes] | None:
    """Returns (collection, member) of a segment_id, or None if it is not one."""
    collection = _COLLECTIONS.get(segment_id[:4])
    text = segment_id[4:]
    if collection is None or len(text) != _TEXT_LENGTH:
        return None
    number = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            return None
        number = number * 62 + digit
    if number >> (8 * MEMBER_BYTES):
        return None
    return collection, number.to_bytes(MEMBER_BYTES, "big")
