"""Profiles and identifiers as the reference knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.reference.resolver import Identifier as RefIdentifier
from unify_grpc.placement.members import MEMBER_BYTES

if TYPE_CHECKING:
    from unify_grpc.identity.identifiers import Identifier

_MEMBER_BITS = 8 * MEMBER_BYTES
_ORDER_BITS = 64

Profile = tuple[Any, ...]
"""As the reference has them: its collection, when it was created, and those that it absorbed."""
Links = dict[RefIdentifier, int]
"""A profile's identifiers, each with its link time in microseconds since 1970."""


def root_of(profile: Profile) -> int:
    """The founding member of a profile, as a number."""
    return int(profile[1]) & (1 << _MEMBER_BITS) - 1


def merges_of(profile: Profile) -> int:
    """How many others a profile has absorbed."""
    return len(profile) - 2


def ref(identifier: Identifier, life: int) -> RefIdentifier:
    """An identifier in the reference's words, which know each life as another value."""
    return identifier.collection, identifier.type, told_value(identifier.value, life)


def told_value(value: str, life: int) -> str:
    """A value as the reference knows it in one of its lives."""
    return f"{value} in life {life}" if life else value


def created_at(stamp_us: int, order: int, member: bytes) -> int:
    """When a profile was created, as a number that compares as the rules compare."""
    return (stamp_us << _ORDER_BITS | order) << _MEMBER_BITS | int.from_bytes(member)
