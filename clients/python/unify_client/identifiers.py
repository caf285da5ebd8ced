"""How a caller names people, accounts and their profiles."""

from __future__ import annotations

from dataclasses import dataclass

from unify_client.errors import ArgumentInvalid
from unify_grpc._pb.unify.v1 import identity_pb2

_SEGMENT_ID_PREFIXES = ("use_", "acc_")


@dataclass(frozen=True, slots=True)
class Identifier:
    """Names one person or account in one way."""

    collection: str
    """`users` or `accounts`."""
    type: str
    """What kind of identifier it is: `user_id`, `email`, `anonymous_id`, or another."""
    value: str
    """The value, as ingested; in replies as normalised, masked without the scope `pii`."""

    @classmethod
    def parse(cls, text: str) -> Identifier:
        """Returns the identifier that `type:value` names; the value may hold further colons.

        It is one of a person, except for `group_id`, which names accounts only. Raises
        ArgumentInvalid where there is no colon, no type or no value.
        """
        kind, colon, value = text.partition(":")
        if not (kind and colon and value):
            raise ArgumentInvalid("An identifier is written `type:value`.")
        return cls("accounts" if kind == "group_id" else "users", kind, value)

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"


@dataclass(frozen=True, slots=True)
class ExternalId:
    """Names the person or account of an event by a further identifier."""

    type: str
    """What kind of identifier it is."""
    id: str
    """The value."""
    collection: str = "users"
    """`users` or `accounts`; the latter counts in `group` calls only."""
    encoding: str = "none"
    """How `id` is encoded: kept and shown, never interpreted."""


ProfileNamed = str | Identifier
"""What names a profile: a segment_id, `type:value`, or an Identifier."""


def profile_name(name: ProfileNamed) -> identity_pb2.ProfileName:
    """Returns a profile's name for the wire.

    A text without a colon that begins like a segment_id is one; any other is `type:value`.
    Raises ArgumentInvalid for what is neither.
    """
    try:
        if isinstance(name, Identifier):
            return identity_pb2.ProfileName(identifier=identifier_to_wire(name))
        if name.startswith(_SEGMENT_ID_PREFIXES) and ":" not in name:
            return identity_pb2.ProfileName(segment_id=name)
        return identity_pb2.ProfileName(identifier=identifier_to_wire(Identifier.parse(name)))
    except UnicodeEncodeError:
        # Its own text would repeat the value.
        pass
    raise ArgumentInvalid("A profile's name holds half of a surrogate pair.")


def identifier_to_wire(identifier: Identifier) -> identity_pb2.Identifier:
    """Returns an identifier for the wire; UnicodeEncodeError for half a surrogate pair."""
    return identity_pb2.Identifier(
        collection=identifier.collection, type=identifier.type, value=identifier.value
    )
