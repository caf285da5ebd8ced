"""Parameters of Profile API calls, as the requests that the gRPC edge answers.

Names, defaults and bounds are Segment's. A parameter without a value counts as not given; one that
is not known is passed over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from unify_grpc._pb.unify.v1 import identity_pb2, profile_service_pb2
from unify_grpc.identity.identifiers import COLLECTIONS
from unify_grpc.placement.members import member_of_segment_id
from unify_grpc.service import link_pages, profile_pages
from unify_grpc.service.errors import ProfileNotFoundError, RequestInvalidError
from unify_grpc.service.faults import Faults

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

PAGES: Final[dict[str, tuple[int, int]]] = {
    "traits": (profile_pages.TRAITS_PAGE_DEFAULT, profile_pages.TRAITS_PAGE_MAX),
    "external_ids": (profile_pages.IDS_PAGE_DEFAULT, profile_pages.IDS_PAGE_MAX),
    "events": (profile_pages.EVENTS_PAGE_DEFAULT, profile_pages.EVENTS_PAGE_MAX),
    "links": (link_pages.PAGE_DEFAULT, link_pages.PAGE_MAX),
}
"""(default, maximum) of `limit`."""
CLASSES: Final = {
    "": profile_service_pb2.TRAIT_CLASS_UNSPECIFIED,
    "audience": profile_service_pb2.TRAIT_CLASS_AUDIENCE,
    "computed_trait": profile_service_pb2.TRAIT_CLASS_COMPUTED_TRAIT,
}
SORTS: Final = {
    "": profile_service_pb2.SORT_ORDER_UNSPECIFIED,
    "asc": profile_service_pb2.SORT_ORDER_ASCENDING,
    "desc": profile_service_pb2.SORT_ORDER_DESCENDING,
}
BOOLEANS: Final = {"": False, "false": False, "true": True}
TIME_CHARS_MAX: Final = 64
DATE_CHARS: Final = 11
"""With the letter, or the blank, between it and the time."""
DIGITS_MAX: Final = 9


def read_name(collection: str, profile: str) -> Any:
    """Returns the `ProfileName` of what stands in a path.

    Args:
        collection: `users` or `accounts`.
        profile: `type:value`, or a segment_id of that collection.

    Raises:
        RequestInvalidError: there is no such collection.
        ProfileNotFoundError: it cannot be the name of a profile there.
    """
    if collection not in COLLECTIONS:
        raise RequestInvalidError([("name.identifier.collection", "is neither users nor accounts")])
    type_, colon, value = profile.partition(":")
    if not colon:
        member = member_of_segment_id(profile)
        if member is None or member[0] != collection:
            raise ProfileNotFoundError
        return identity_pb2.ProfileName(segment_id=profile)
    identifier = identity_pb2.Identifier(collection=collection, type=type_, value=value)
    return identity_pb2.ProfileName(identifier=identifier)


class Query:
    """The parameters of one call; what is wrong with them is noted until `refuse`."""

    def __init__(self, resource: str, params: QueryParams) -> None:
        self._resource = resource
        self._params = params
        self._faults = Faults()

    def request(self, name: Any) -> Any:
        """Returns the request for a page, of the message that lists this resource.

        Raises:
            RequestInvalidError: with every parameter at fault.
        """
        page: dict[str, Any] = {"name": name, "page_token": self._text("next")}
        page["page_size"] = self._limit()
        made = {
            "traits": self._traits,
            "external_ids": self._external_ids,
            "events": self._events,
            "links": self._links,
        }[self._resource](page)
        self._faults.refuse()
        return made

    def check_metadata(self) -> None:
        """Refuses parameters of a call for metadata that are not well formed."""
        self._choice("verbose", BOOLEANS, "is neither true nor false")
        self._faults.refuse()

    def _traits(self, page: dict[str, Any]) -> Any:
        return profile_service_pb2.ListTraitsRequest(
            trait_class=self._choice("class", CLASSES, "is neither audience nor computed_trait"),
            include=self._names("include"),
            verbose=self._choice("verbose", BOOLEANS, "is neither true nor false"),
            **page,
        )

    def _external_ids(self, page: dict[str, Any]) -> Any:
        self._choice("verbose", BOOLEANS, "is neither true nor false")
        return profile_service_pb2.ListExternalIdsRequest(include=self._names("include"), **page)

    def _events(self, page: dict[str, Any]) -> Any:
        return profile_service_pb2.ListEventsRequest(
            start_time=self._time("start"),
            end_time=self._time("end"),
            include=self._names("include"),
            exclude=self._names("exclude"),
            sort=self._choice("sort", SORTS, "is neither asc nor desc"),
            **page,
        )

    def _links(self, page: dict[str, Any]) -> Any:
        return profile_service_pb2.ListLinksRequest(**page)

    # -- one parameter ----------------------------------------------------------------------

    def _text(self, name: str) -> str:
        return self._params.get(name) or ""

    def _names(self, name: str) -> list[str]:
        """Reads a list with commas; one that is given several times goes on."""
        texts = self._params.getlist(name)
        return [each.strip() for text in texts for each in text.split(",") if each.strip()]

    def _choice(self, name: str, choices: dict[str, Any], text: str) -> Any:
        given = self._text(name).lower()
        if given not in choices:
            self._faults.add(name, text)
        return choices.get(given)

    def _limit(self) -> int:
        """Reads `limit`; one above the maximum is the maximum."""
        default, maximum = PAGES[self._resource]
        text = self._text("limit")
        if not text:
            return default
        digits = text.lstrip("0")
        if not (text.isascii() and text.isdecimal() and digits):
            self._faults.add("limit", "is not a whole number above 0")
            return default
        return maximum if len(digits) > DIGITS_MAX else min(int(digits), maximum)

    def _time(self, name: str) -> Timestamp | None:
        """Reads an ISO 8601 time; without a zone it is UTC."""
        text = self._text(name).strip()
        if not text:
            return None
        wire = Timestamp()
        with self._faults:
            wire.FromDatetime(_moment(name, text))
        return wire


def _moment(name: str, text: str) -> datetime:
    """Reads a time, of the parameter of this name, into UTC."""
    refusal = RequestInvalidError([(name, "is not an ISO 8601 time")])
    if len(text) > TIME_CHARS_MAX:
        raise refusal
    # A plus before the zone that was not encoded is a blank by now.
    text = text[:DATE_CHARS] + text[DATE_CHARS:].replace(" ", "+")
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise refusal from None
