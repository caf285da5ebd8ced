"""Whole profiles in answers: which parts are asked for, and how they look on the wire."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, profile_pb2, profile_service_pb2
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.checks import check_count
from unify_grpc.service.errors import RequestInvalidError
from unify_grpc.service.faults import Faults
from unify_grpc.service.profile_reads import name_by_identifier, name_by_segment_id
from unify_grpc.service.profile_wire import (
    external_id_to_wire,
    identifier_place,
    metadata_to_wire,
    trait_to_wire,
)

if TYPE_CHECKING:
    from unify_grpc.machines.assembly import Profile
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.profile_reads import Named, ProfileReader

PARTS: Final = ("traits", "external_ids", "metadata")
BATCH_MAX: Final = 100


def check_mask(request: Any) -> frozenset[str]:
    """Returns the parts that a request's `read_mask` names; all of them if it names none."""
    paths = frozenset(request.read_mask.paths)
    if paths - set(PARTS):
        raise RequestInvalidError([("read_mask", "has a path other than " + ", ".join(PARTS))])
    return paths or frozenset(PARTS)


def needs_traits(parts: frozenset[str]) -> bool:
    """Whether traits have to be read: metadata counts them."""
    return bool(parts & {"traits", "metadata"})


def named_in(name: Any, space: Space, field: str = "name") -> Named:
    """Returns the profile that a `ProfileName` of a request names.

    Raises:
        RequestInvalidError: it names none; `field` says which it is.
        ProfileNotFoundError: it cannot be the name of one.
    """
    kind = name.WhichOneof("name")
    if kind == "segment_id":
        return name_by_segment_id(name.segment_id)
    if kind == "identifier":
        identifier = name.identifier
        return name_by_identifier(
            space,
            identifier.collection or "users",
            identifier.type,
            identifier.value,
            f"{field}.identifier",
        )
    raise RequestInvalidError([(field, "names no profile")])


def profile_to_wire(
    profile: Profile,
    collection: str,
    parts: frozenset[str],
    call: Call,
    directory: SpaceDirectory,
    asked_id: str = "",
) -> Any:
    """Returns a profile with the parts that are asked for, masked if the caller may not see them.

    Args:
        profile: put together.
        collection: that it belongs to.
        parts: of `PARTS`.
        call: whose caller sees it.
        directory: of sources.
        asked_id: the segment_id that it was asked by; empty if it was not asked by one.
    """
    is_masked = not call.caller.has("pii")
    segment_id = segment_id_of(collection, profile.base.root)
    wire = profile_pb2.Profile(
        segment_id=asked_id or segment_id, canonical_segment_id=segment_id, collection=collection
    )
    if "metadata" in parts:
        wire.metadata.CopyFrom(metadata_to_wire(profile, directory))
    if "traits" in parts:
        for name, cell in sorted(profile.traits.items()):
            wire.traits.append(
                trait_to_wire(name, cell, directory, is_verbose=True, is_masked=is_masked)
            )
    if "external_ids" in parts:
        place = partial(identifier_place, space=call.space)
        for part in sorted(profile.identifiers, key=place):
            wire.external_ids.append(
                external_id_to_wire(collection, part, directory, is_masked=is_masked)
            )
    return wire


async def batch_get_profiles(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory
) -> Any:
    """Answers a `BatchGetProfilesRequest`: all of the profiles, or a refusal.

    Raises:
        RequestInvalidError: with every field at fault, as when it names none, or too many.
        ProfileNotFoundError: one of them is not there.
    """
    faults = Faults()
    with faults:
        parts = check_mask(request)
    if not request.names:
        faults.add("names", "names no profile")
    with faults:
        check_count("names", request.names, BATCH_MAX)
    named = []
    for at, name in enumerate(request.names[:BATCH_MAX]):
        with faults:
            named.append(named_in(name, call.space, f"names[{at}]"))
    faults.refuse()
    profiles = await asyncio.gather(
        *(reader.read_profile(call.space, each, with_traits=needs_traits(parts)) for each in named)
    )
    return profile_service_pb2.BatchGetProfilesResponse(
        profiles=[
            profile_to_wire(profile, each.collection, parts, call, directory, name.segment_id)
            for name, each, profile in zip(request.names, named, profiles, strict=True)
        ],
        header=header_pb2.ReplyHeader(request_id=call.request_id),
    )
