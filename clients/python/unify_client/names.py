"""How a caller names a profile."""

from __future__ import annotations

from unify_client.errors import ArgumentInvalid
from unify_client.identifiers import Identifier
from unify_grpc._pb.unify.v1 import identity_pb2

_SEGMENT_ID_PREFIXES = ("use_", "acc_")

ProfileNamed = str | Identifier
"""What names a profile: a segment_id, `type:value`, or an Identifier."""


def identifier_of(name: ProfileNamed, collection: str | None = None) -> identity_pb2.Identifier:
    """Returns an identifier, or the beginning of one, for the wire.

    A text is `type:value`, of that collection or of its type's own; an Identifier brings one.
    """
    if isinstance(name, str):
        name = _parsed(name)
        name = Identifier(collection or name.collection, name.type, name.value)
    try:
        return _to_wire(name)
    except UnicodeEncodeError:
        # Its own text would repeat the value.
        pass
    raise ArgumentInvalid("An identifier holds half of a surrogate pair.")


def collection_of(name: identity_pb2.ProfileName) -> str:
    """Returns the collection of a profile, `users` or `accounts`, as its name tells it."""
    if name.HasField("segment_id"):
        return "accounts" if name.segment_id.startswith("acc_") else "users"
    return name.identifier.collection or "users"


def profile_name(name: ProfileNamed) -> identity_pb2.ProfileName:
    """Returns a profile's name for the wire.

    A text without a colon that begins like a segment_id is one; any other is `type:value`.
    Raises ArgumentInvalid for what is neither.
    """
    try:
        if isinstance(name, Identifier):
            return identity_pb2.ProfileName(identifier=_to_wire(name))
        if name.startswith(_SEGMENT_ID_PREFIXES) and ":" not in name:
            return identity_pb2.ProfileName(segment_id=name)
        return identity_pb2.ProfileName(identifier=_to_wire(_parsed(name)))
    except UnicodeEncodeError:
        # Its own text would repeat the value.
        pass
    raise ArgumentInvalid("A profile's name holds half of a surrogate pair.")


def _to_wire(identifier: Identifier) -> identity_pb2.Identifier:
    return identity_pb2.Identifier(
        collection=identifier.collection, type=identifier.type, value=identifier.value
    )


def _parsed(text: str) -> Identifier:
    kind, colon, value = text.partition(":")
    if not (kind and colon and value):
        raise ArgumentInvalid("A profile is named by a segment_id or by `type:value`.")
    # The one type that names accounts only; any other is one of a person unless an Identifier
    # says otherwise.
    return Identifier("accounts" if kind == "group_id" else "users", kind, value)
