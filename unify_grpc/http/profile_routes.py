"""The Profile API: profiles out, as Segment's callers ask for them.

One route, since what a path names is read before it is decoded; see `profile_paths.py`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.routing import BaseRoute, Match, Route

from unify_grpc._pb.unify.v1 import identity_pb2, profile_service_pb2
from unify_grpc.http.arriving import read_bounded
from unify_grpc.http.calls import Surrounding, note_caller, note_standing
from unify_grpc.http.profile_paths import DELETION, RESOURCES, ROOTS, PathInvalidError, read_path
from unify_grpc.http.profile_queries import Query, read_name
from unify_grpc.http.profile_refusals import (
    MethodNotAllowedError,
    profile_answer,
    profile_refusal,
)
from unify_grpc.http.profile_shapes import (
    cursor_shape,
    deletion_shape,
    events_shape,
    external_ids_shape,
    links_shape,
    metadata_shape,
    traits_shape,
)
from unify_grpc.http.rate_limit import RateLimits
from unify_grpc.http.refusals import HttpError, JsonInvalidError
from unify_grpc.identity.identifiers import USER_ID, USERS
from unify_grpc.service.calls import DELETE, READ, Call, check_scope
from unify_grpc.service.deletion_requests import delete_external_ids
from unify_grpc.service.errors import (
    CredentialInvalidError,
    DeadlinePassedError,
    RequestInvalidError,
    SpaceNotFoundError,
)
from unify_grpc.service.link_pages import list_links_page
from unify_grpc.service.page_tokens import scope_of
from unify_grpc.service.profile_pages import (
    list_events_page,
    list_external_ids_page,
    list_traits_page,
)
from unify_grpc.service.profile_wire import metadata_to_wire
from unify_grpc.service.whole_profiles import named_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from unify_grpc.http.edge import Edge
    from unify_grpc.http.profile_paths import ProfilePath
    from unify_grpc.service.directory import Caller

READING: Final = frozenset({"GET", "HEAD"})
BODY_BYTES_MAX: Final = 16 * 1024
LISTS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    "traits": list_traits_page,
    "external_ids": list_external_ids_page,
    "events": list_events_page,
    "links": list_links_page,
}


class _Deleted(msgspec.Struct):
    """One identifier that is to be deleted."""

    id: str
    type: str


class _Deletion(msgspec.Struct):
    """The body of a call that deletes."""

    delete_external_ids: list[_Deleted]


_decode_deletion = msgspec.json.Decoder(_Deletion).decode


def profile_routes(edge: Edge) -> list[BaseRoute]:
    """Returns the routes of the Profile API."""
    api = ProfileApi(edge)
    return [_EverythingBelow(f"/v1/{root.decode()}/", api.answer) for root in ROOTS]


class _EverythingBelow(Route):
    """Takes every path that begins so, with every method.

    What there is not is then refused in the form of this API.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Looks at the path alone."""
        is_below = scope["type"] == "http" and scope["path"].startswith(self.path)
        return Match.FULL if is_below else Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request of whatever method."""
        await self.app(scope, receive, send)


class ProfileApi:
    """Answers the Profile API's calls from a gateway's `ProfileReader` and `Deleter`."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        settings = edge.settings
        self._limits = RateLimits(
            space_per_s=settings.space_reads_per_s,
            key_per_s=settings.key_reads_per_s,
            gateways=settings.gateways,
        )
        self._surroundings = {
            resource: Surrounding(
                edge,
                f"profiles/{resource}",
                partial(self._serve, resource=resource),
                partial(profile_refusal, is_deletion=resource == DELETION),
            )
            for resource in (*RESOURCES, DELETION, "")
        }
        """By resource; the empty one is of paths that name none."""

    async def answer(self, request: Request) -> Response:
        """Answers a request; never raises."""
        try:
            resource = read_path(request.scope).resource
        except PathInvalidError as invalid:  # raised again where errors are answered
            resource = invalid.resource
        except HttpError:  # the same
            resource = ""
        return await self._surroundings[resource].answer(request)

    async def _serve(self, request: Request, resource: str) -> Response:
        path = read_path(request.scope)
        is_deletion = resource == DELETION
        allowed = {"POST"} if is_deletion else READING
        if request.method not in allowed:
            raise MethodNotAllowedError(", ".join(sorted(allowed)))
        caller = await self._let_in(request, path, DELETE if is_deletion else READ)
        assert caller.space is not None, "the path named it"
        standing = self._limits.take(
            caller.space.record.number, caller.credential.number, self._edge.clock()
        )
        note_standing(request, standing)
        body = b""
        if is_deletion:
            body = await read_bounded(self._edge, request, BODY_BYTES_MAX)
            caller = self._edge.directory.check_again(caller)
            check_scope(caller, DELETE)
        call = Call(
            "ProfileService/DeleteExternalIds" if is_deletion else f"http/{resource}",
            request.state.request_id,
            caller,
            time.monotonic() + self._edge.settings.deadline_s_default,
            self._edge.directory,
        )
        try:
            async with asyncio.timeout(call.remaining_s):
                if is_deletion:
                    content = await self._delete(request, body, path, call)
                else:
                    content = await self._read(request, path, call)
        except TimeoutError:
            raise DeadlinePassedError from None
        return profile_answer(content)

    async def _let_in(self, request: Request, path: ProfilePath, needed: str) -> Caller:
        """Returns who calls, with the space that the path names.

        Of a space of others a token does not learn whether there is one.
        """
        directory = self._edge.directory
        authorization = request.headers.get("authorization", "")
        if not authorization.isascii():
            raise CredentialInvalidError
        caller = await directory.authenticate(authorization, "")
        note_caller(request, caller)
        check_scope(caller, needed)
        space = directory.find_space(path.space)
        if caller.space is None:
            caller = replace(caller, space=space)
            note_caller(request, caller)
            return caller
        if caller.space.record.number != space.record.number:
            raise SpaceNotFoundError
        return caller

    async def _read(self, request: Request, path: ProfilePath, call: Call) -> dict[str, Any]:
        query = Query(path.resource, request.query_params)
        if path.resource == "metadata":
            query.check_metadata()
            return await self._metadata(path, call)
        return await self._page(query, path, call)

    async def _metadata(self, path: ProfilePath, call: Call) -> dict[str, Any]:
        named = named_in(read_name(path.collection, path.profile), call.space)
        profile = await self._edge.reader.read_profile(call.space, named, with_traits=False)
        return metadata_shape(metadata_to_wire(profile, self._edge.directory))

    async def _page(self, query: Query, path: ProfilePath, call: Call) -> dict[str, Any]:
        wanted = query.request(read_name(path.collection, path.profile))
        edge, resource = self._edge, path.resource
        # A cursor's url names the profile by its segment_id, which a merge can change: what binds
        # its token is the space, the collection and the filters, not the name.
        nameless = type(wanted)()
        nameless.CopyFrom(wanted)
        nameless.ClearField("name")
        if resource == "traits":
            nameless.ClearField("verbose")  # says how a trait is shown, not which there are
        if resource == "events" and not nameless.sort:
            nameless.sort = profile_service_pb2.SORT_ORDER_DESCENDING  # which is what none means
        number = call.space.record.number
        scope = scope_of(f"http/{path.collection}/{resource}", number, nameless)
        response = await LISTS[resource](wanted, call, edge.reader, edge.directory, scope)
        cursor = cursor_shape(
            response,
            space_id=call.space.record.space_id,
            collection=path.collection,
            resource=resource,
            limit=wanted.page_size,
        )
        return _shape(response, wanted, path) | cursor

    async def _delete(
        self, request: Request, body: bytes, path: ProfilePath, call: Call
    ) -> dict[str, Any]:
        try:
            asked = _decode_deletion(body)
        except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
            raise JsonInvalidError from None
        if path.collection != USERS:
            raise RequestInvalidError([("name.identifier.collection", "has to be users here")])
        if not path.profile.startswith(f"{USER_ID}:"):
            raise RequestInvalidError([("name.identifier.type", "has to be user_id here")])
        wanted = profile_service_pb2.DeleteExternalIdsRequest(
            name=read_name(path.collection, path.profile),
            external_ids=[
                identity_pb2.Identifier(type=each.type, value=each.id)
                for each in asked.delete_external_ids
            ],
            request_id=request.headers.get("idempotency-key", ""),
        )
        return deletion_shape(await delete_external_ids(wanted, call, self._edge.deleter))


def _shape(response: Any, wanted: Any, path: ProfilePath) -> dict[str, Any]:
    if path.resource == "traits":
        return traits_shape(response, is_verbose=wanted.verbose)
    if path.resource == "external_ids":
        return external_ids_shape(response)
    if path.resource == "events":
        return events_shape(response, path.collection)
    return links_shape(response)
