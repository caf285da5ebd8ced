"""The calls of `ProfileService`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from unify_client import explanations, profiles
from unify_client.errors import ArgumentInvalid
from unify_client.explanations import IdentityExplanation
from unify_client.names import ProfileNamed, collection_of, identifier_of, profile_name
from unify_client.operations import Operation, PagedOperation, paged
from unify_client.profiles import (
    DeletedExternalIds,
    Profile,
    ProfileEvent,
    ProfileExternalId,
    ProfileLink,
    Trait,
)
from unify_client.times import optional_timestamp_of
from unify_client.vocabulary import SortOrder, TraitClass, number_of
from unify_grpc._pb.unify.v1 import profile_service_pb2

ProfilePart = Literal["traits", "external_ids", "metadata"]
"""A part of a profile that can be asked for by itself."""

# Lists are walked to their end as a rule, so pages are as large as the service allows.
_TRAITS_PAGE_MAX = 200
_EXTERNAL_IDS_PAGE_MAX = 25
_EVENTS_PAGE_MAX = 100
_LINKS_PAGE_MAX = 20
_PROFILES_PAGE_MAX = 100


def get_profile(name: ProfileNamed, parts: Iterable[ProfilePart] | None) -> Operation[Profile]:
    """Reads one profile; None asks for all of its parts."""
    return Operation(
        service="ProfileService",
        method="GetProfile",
        request=profile_service_pb2.GetProfileRequest(
            name=profile_name(name),
            read_mask=_mask(parts),
        ),
        read=lambda response: profiles.profile(response.profile),
    )


def list_traits(
    name: ProfileNamed,
    *,
    include: Iterable[str],
    trait_class: TraitClass | None,
    verbose: bool,
    page_size: int | None,
) -> PagedOperation[Trait]:
    """Lists a profile's traits by name."""
    request = profile_service_pb2.ListTraitsRequest(
        name=profile_name(name),
        include=list(include),
        trait_class=None if trait_class is None else number_of(TraitClass(trait_class)),
        verbose=verbose,
        page_size=_TRAITS_PAGE_MAX if page_size is None else page_size,
    )
    return paged("ProfileService", "ListTraits", request, "traits", profiles.trait)


def list_external_ids(
    name: ProfileNamed, *, include: Iterable[str], page_size: int | None
) -> PagedOperation[ProfileExternalId]:
    """Lists a profile's identifiers in order of priority."""
    request = profile_service_pb2.ListExternalIdsRequest(
        name=profile_name(name),
        include=list(include),
        page_size=_EXTERNAL_IDS_PAGE_MAX if page_size is None else page_size,
    )
    read = profiles.profile_external_id
    return paged("ProfileService", "ListExternalIds", request, "external_ids", read)


def list_events(
    name: ProfileNamed,
    *,
    start_time: datetime | None,
    end_time: datetime | None,
    include: Iterable[str],
    exclude: Iterable[str],
    types: Iterable[str],
    sort: SortOrder,
    page_size: int | None,
) -> PagedOperation[ProfileEvent]:
    """Lists a profile's history by event time."""
    request = profile_service_pb2.ListEventsRequest(
        name=profile_name(name),
        start_time=optional_timestamp_of("start_time", start_time),
        end_time=optional_timestamp_of("end_time", end_time),
        include=list(include),
        exclude=list(exclude),
        types=list(types),
        sort=number_of(SortOrder(sort)),
        page_size=_EVENTS_PAGE_MAX if page_size is None else page_size,
    )
    return paged("ProfileService", "ListEvents", request, "events", profiles.profile_event)


def batch_get_profiles(
    names: Iterable[ProfileNamed], parts: Iterable[ProfilePart] | None
) -> Operation[list[Profile]]:
    """Reads several profiles at once, in the order asked for."""
    return Operation(
        service="ProfileService",
        method="BatchGetProfiles",
        request=profile_service_pb2.BatchGetProfilesRequest(
            names=list(map(profile_name, names)), read_mask=_mask(parts)
        ),
        read=lambda response: list(map(profiles.profile, response.profiles)),
    )


def list_links(name: ProfileNamed, page_size: int | None) -> PagedOperation[ProfileLink]:
    """Lists the accounts of a person, or the people of an account."""
    request = profile_service_pb2.ListLinksRequest(
        name=profile_name(name),
        page_size=_LINKS_PAGE_MAX if page_size is None else page_size,
    )
    return paged("ProfileService", "ListLinks", request, "links", profiles.profile_link)


def list_profiles(
    collection: str,
    *,
    identifier_prefix: ProfileNamed | None,
    trait: tuple[str, str] | None,
    parts: Iterable[ProfilePart] | None,
    page_size: int | None,
) -> PagedOperation[Profile]:
    """Lists the profiles of a collection, by one of two filters or by newest activity."""
    if identifier_prefix is not None and trait is not None:
        raise ArgumentInvalid("Profiles are found by an identifier or by a trait, not by both.")
    request = profile_service_pb2.ListProfilesRequest(
        collection=collection,
        read_mask=_mask(parts),
        page_size=_PROFILES_PAGE_MAX if page_size is None else page_size,
    )
    if identifier_prefix is not None:
        request.identifier_prefix.CopyFrom(identifier_of(identifier_prefix, collection))
    if trait is not None:
        request.trait.name, request.trait.value = trait
    return paged("ProfileService", "ListProfiles", request, "profiles", profiles.profile)


def explain_identity(first: ProfileNamed, second: ProfileNamed) -> Operation[IdentityExplanation]:
    """Asks why two names stand for one profile, or why they do not."""
    return Operation(
        service="ProfileService",
        method="ExplainIdentity",
        request=profile_service_pb2.ExplainIdentityRequest(
            first=profile_name(first), second=profile_name(second)
        ),
        read=explanations.identity_explanation,
    )


def delete_external_ids(
    name: ProfileNamed, external_ids: Iterable[ProfileNamed], request_id: str | None
) -> Operation[DeletedExternalIds]:
    """Parts a profile from an identifier; a repetition is harmless, as it carries an id."""
    named = profile_name(name)
    collection = collection_of(named)
    return Operation(
        service="ProfileService",
        method="DeleteExternalIds",
        request=profile_service_pb2.DeleteExternalIdsRequest(
            name=named,
            external_ids=[identifier_of(each, collection) for each in external_ids],
            request_id=request_id or str(uuid4()),
        ),
        read=profiles.deleted_external_ids,
        after_deadline=True,
    )


def _mask(parts: Iterable[ProfilePart] | None) -> FieldMask | None:
    return None if parts is None else FieldMask(paths=list(parts))
