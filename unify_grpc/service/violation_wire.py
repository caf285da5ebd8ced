"""Violations in their wire form."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from unify_grpc._pb.unify.v1 import operations_service_pb2, profile_pb2
from unify_grpc.identity.identifiers import (
    ACCOUNTS,
    ANONYMOUS_ID,
    COLLECTIONS,
    GROUP_ID,
    USER_ID,
    USERS,
)
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.masking import MASK, mask_payload
from unify_grpc.service.profile_wire import (
    ENCODING,
    add_noted_drops,
    event_to_wire,
    time_to_wire,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.batch import Body
    from unify_grpc.machines.list_questions import FoundViolation
    from unify_grpc.machines.refusals import RefusedBody
    from unify_grpc.service.directory import SpaceDirectory

_COLLECTIONS = (USERS, ACCOUNTS)


class _SentId(msgspec.Struct):
    """An external id as it was sent."""

    id: object = None
    type: object = None
    collection: object = None
    encoding: object = None


_sent_ids = msgspec.json.Decoder(list[_SentId]).decode


def violation_to_wire(
    found: FoundViolation, root: bytes, directory: SpaceDirectory, *, is_masked: bool
) -> Any:
    """Returns one violation; `root` is its event's profile, empty if there is none."""
    wire: Any = operations_service_pb2.Violation(rules_version=found.rules_version)
    if found.event is not None:
        event = event_to_wire(found.event, directory, is_masked=is_masked)
        wire.event.CopyFrom(event)
        if root:
            wire.segment_id = segment_id_of(_COLLECTIONS[found.event.collection], root)
        return wire
    assert found.refused is not None, "a violation is of a stored event or of a refused one"
    wire.event.CopyFrom(_refused_to_wire(found, found.refused, directory, is_masked=is_masked))
    wire.reason = found.refused.reason
    wire.omitted_parts.extend(found.refused.omitted)
    return wire


def _refused_to_wire(
    found: FoundViolation, refused: RefusedBody, directory: SpaceDirectory, *, is_masked: bool
) -> Any:
    body = refused.body
    wire = profile_pb2.ProfileEvent(
        type=refused.type,
        name=body.name,
        message_id=body.message_id,
        source_id=directory.source_id(found.source),
        timestamp=time_to_wire(found.time_us),
        received_time=time_to_wire(found.stamp_us),
    )
    for name in ("properties", "context", "traits"):
        text = getattr(body, name)
        setattr(wire, name + "_json", mask_payload(text) if is_masked else text)
    for collection, type_, value, encoding in _ids_in(body):
        shown = MASK if is_masked else value
        wire.external_ids.add(id=shown, type=type_, collection=collection, encoding=encoding)
    add_noted_drops(wire, refused.drops, is_masked=is_masked)
    return wire


def _ids_in(body: Body) -> Iterator[tuple[str, str, str, str]]:
    """Yields (collection, type, value, encoding) of what an event names itself by, as sent."""
    for collection, type_, value in (
        (USERS, USER_ID, body.user_id),
        (USERS, ANONYMOUS_ID, body.anonymous_id),
        (ACCOUNTS, GROUP_ID, body.group_id),
    ):
        if value:
            yield collection, type_, value, ENCODING
    listed: list[_SentId] = []
    with contextlib.suppress(msgspec.DecodeError):  # it is shown as it was sent, or not at all
        listed = _sent_ids(body.external_ids or b"[]")
    for each in listed:
        if isinstance(each.id, str) and isinstance(each.type, str):
            collection = str(each.collection)
            if collection in COLLECTIONS:
                yield collection, each.type, each.id, str(each.encoding or ENCODING)
