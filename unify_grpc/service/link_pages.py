"""`ListLinks` between the wire and what `machines/link_listing.py` puts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, profile_pb2, profile_service_pb2
from unify_grpc.identity.identifiers import ACCOUNTS, USERS
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.checks import check_page_size
from unify_grpc.service.faults import Faults
from unify_grpc.service.page_tokens import make_token, read_token
from unify_grpc.service.profile_wire import external_id_to_wire, identifier_place, time_to_wire
from unify_grpc.service.whole_profiles import named_in

if TYPE_CHECKING:
    from unify_grpc.machines.link_listing import ProfileLink
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import SpaceDirectory
    from unify_grpc.service.profile_reads import ProfileReader

PAGE_DEFAULT: Final = 10
PAGE_MAX: Final = 20
IDS_MAX: Final = 25


async def list_links_page(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory, scope: bytes
) -> Any:
    """Answers a `ListLinksRequest`, whose page tokens `scope` binds.

    Raises:
        RequestInvalidError: with every field at fault.
        ProfileNotFoundError: there is no such profile.
    """
    faults = Faults()
    key = directory.signing_key
    with faults:
        size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
    with faults:
        after = read_token(key, scope, request.page_token, tuple[int, bytes, bytes])
    with faults:
        named = named_in(request.name, call.space)
    faults.refuse()
    page = await reader.list_links(call.space, named, after=after, limit=size)
    other = USERS if named.collection == ACCOUNTS else ACCOUNTS
    response = profile_service_pb2.ListLinksResponse(
        links=[_link_to_wire(link, other, call, directory) for link in page.links],
        segment_id=segment_id_of(named.collection, page.base.root),
        header=header_pb2.ReplyHeader(request_id=call.request_id),
    )
    if page.after is not None:
        response.next_page_token = make_token(key, scope, page.after)
    return response


def _link_to_wire(link: ProfileLink, collection: str, call: Call, directory: SpaceDirectory) -> Any:
    parts = sorted(link.profile.identifiers, key=lambda part: identifier_place(part, call.space))
    is_masked = not call.caller.has("pii")
    return profile_pb2.ProfileLink(
        to_collection=collection,
        segment_id=segment_id_of(collection, link.profile.base.root),
        external_ids=[
            external_id_to_wire(collection, part, directory, is_masked=is_masked)
            for part in parts[:IDS_MAX]
        ],
        created_time=time_to_wire(link.time_us),
    )
