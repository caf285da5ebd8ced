"""Every unary call, written once for both clients: what is asked, and how the answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from unify_client import profiles, spaces
from unify_client.errors import SecretsNotShown
from unify_client.json_form import json_bytes
from unify_client.names import ProfileNamed, profile_name
from unify_client.profiles import Profile, ProfileEvent, ProfileExternalId, Trait
from unify_client.requests import Chunk
from unify_client.results import EventResult, event_result
from unify_client.spaces import CreatedSpace, Rules, ServiceStatus, Space
from unify_client.times import timestamp_of
from unify_client.vocabulary import Ack, ResultView, SortOrder, TraitClass, number_of
from unify_grpc._pb.unify.v1 import (
    ingest_service_pb2,
    operations_service_pb2,
    profile_service_pb2,
    space_service_pb2,
)

T = TypeVar("T")

ProfilePart = Literal["traits", "external_ids", "metadata"]
"""A part of a profile that can be asked for by itself."""

# Lists are walked to their end as a rule, so pages are as large as the service allows.
_TRAITS_PAGE_MAX = 200
_EXTERNAL_IDS_PAGE_MAX = 25
_EVENTS_PAGE_MAX = 100
_SPACES_PAGE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[T]):
    """One unary call. Each may be repeated: reads change nothing, writes carry an id."""

    service: str
    method: str
    request: Message
    read: Callable[[Any], T]
    """Reads the answer."""
    after_deadline: bool = False
    """Whether it is repeated after DEADLINE_EXCEEDED too."""


@dataclass(frozen=True, slots=True)
class PagedOperation(Generic[T]):
    """A list that comes in pages."""

    page: Callable[[str], Operation[tuple[list[T], str]]]
    """Returns the call for the page of a token; reads its items and the next token."""


def ingest(chunk: Chunk, ack: Ack, view: ResultView) -> Operation[list[EventResult]]:
    """Stores events; results are numbered from the chunk's first position."""
    return Operation(
        service="IngestService",
        method="Ingest",
        request=ingest_service_pb2.IngestRequest(
            events=chunk.events, ack=number_of(Ack(ack)), result_view=number_of(ResultView(view))
        ),
        read=lambda response: [
            event_result(result, index_first=chunk.index_first) for result in response.results
        ],
        after_deadline=True,
    )


def get_profile(name: ProfileNamed, parts: Iterable[ProfilePart] | None) -> Operation[Profile]:
    """Reads one profile; None asks for all of its parts."""
    return Operation(
        service="ProfileService",
        method="GetProfile",
        request=profile_service_pb2.GetProfileRequest(
            name=profile_name(name),
            read_mask=None if parts is None else FieldMask(paths=list(parts)),
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
    return _paged("ProfileService", "ListTraits", request, "traits", profiles.trait)


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
    return _paged("ProfileService", "ListExternalIds", request, "external_ids", read)


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
        start_time=None if start_time is None else timestamp_of("start_time", start_time),
        end_time=None if end_time is None else timestamp_of("end_time", end_time),
        include=list(include),
        exclude=list(exclude),
        types=list(types),
        sort=number_of(SortOrder(sort)),
        page_size=_EVENTS_PAGE_MAX if page_size is None else page_size,
    )
    return _paged("ProfileService", "ListEvents", request, "events", profiles.profile_event)


def create_space(
    name: str, rules: Mapping[str, Any] | None, request_id: str | None
) -> Operation[CreatedSpace]:
    """Creates a space; a repetition is harmless, since each call carries an id."""

    def read(response: space_service_pb2.CreateSpaceResponse) -> CreatedSpace:
        # Empty where this answers a repetition: the first answer was lost on its way.
        if not response.write_key:
            raise SecretsNotShown(response.space.space_id)
        return spaces.created_space(response)

    return Operation(
        service="SpaceService",
        method="CreateSpace",
        request=space_service_pb2.CreateSpaceRequest(
            name=name,
            rules_json=b"" if rules is None else json_bytes("rules", rules),
            request_id=request_id or str(uuid4()),
        ),
        read=read,
    )


def get_space(space: str) -> Operation[Space]:
    """Reads one space by its id or its name."""
    return Operation(
        service="SpaceService",
        method="GetSpace",
        request=space_service_pb2.GetSpaceRequest(space=space),
        read=lambda response: spaces.space(response.space),
    )


def list_spaces(page_size: int | None) -> PagedOperation[Space]:
    """Lists all spaces, the oldest first."""
    request = space_service_pb2.ListSpacesRequest(
        page_size=_SPACES_PAGE_MAX if page_size is None else page_size
    )
    return _paged("SpaceService", "ListSpaces", request, "spaces", spaces.space)


def get_rules(space: str, version: int) -> Operation[Rules]:
    """Reads the rules of a space; version 0 is the one that holds."""
    return Operation(
        service="SpaceService",
        method="GetRules",
        request=space_service_pb2.GetRulesRequest(space=space, version=version),
        read=lambda response: spaces.rules(response.rules),
    )


def get_status() -> Operation[ServiceStatus]:
    """Reads how the parts of the service are doing."""
    return Operation(
        service="OperationsService",
        method="GetStatus",
        request=operations_service_pb2.GetStatusRequest(),
        read=spaces.service_status,
    )


def _paged(
    service: str, method: str, first: Any, items: str, read: Callable[[Any], T]
) -> PagedOperation[T]:
    def page(page_token: str) -> Operation[tuple[list[T], str]]:
        request = type(first)()
        request.CopyFrom(first)
        request.page_token = page_token
        return Operation(
            service=service,
            method=method,
            request=request,
            read=lambda response: (
                [read(item) for item in getattr(response, items)],
                response.next_page_token,
            ),
        )

    return PagedOperation(page)
