"""`ListProfiles` between the wire and what `machines/space_lists.py` puts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, profile_service_pb2
from unify_grpc.identity.identifiers import (
    ACCOUNTS,
    COLLECTIONS,
    USERS,
    is_type_name,
    normalise_value,
)
from unify_grpc.machines.found_by import TRAIT_BYTES_MAX, fold_text
from unify_grpc.machines.space_lists import ByActivity, ByPrefix, ByTrait, list_profiles
from unify_grpc.service.checks import check_page_size
from unify_grpc.service.errors import RequestInvalidError, ScopeMissingError
from unify_grpc.service.faults import Faults
from unify_grpc.service.page_tokens import make_token, read_token, scope_of
from unify_grpc.service.whole_profiles import check_mask, needs_traits, profile_to_wire

if TYPE_CHECKING:
    from unify_grpc.machines.space_lists import Search
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.profile_reads import ProfileReader

PAGE_DEFAULT: Final = 10
PAGE_MAX: Final = 100
PREFIX_BYTES_MAX: Final = 256


async def list_profiles_page(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory
) -> Any:
    """Answers a `ListProfilesRequest`.

    Raises:
        RequestInvalidError: with every field at fault.
        ScopeMissingError: it filters by a value that the caller may not see.
    """
    if request.WhichOneof("filter") and not call.caller.has("pii"):
        raise ScopeMissingError(scope="pii")
    faults = Faults()
    collection = request.collection or USERS
    if collection not in COLLECTIONS:
        faults.add("collection", "is neither users nor accounts")
    scope = scope_of("ListProfiles", call.space.record.number, request)
    key = directory.signing_key
    parts: frozenset[str] = frozenset()
    with faults:
        size = check_page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
    with faults:
        parts = check_mask(request)
    with faults:
        search = _search(
            request,
            collection,
            call.space,
            with_traits=needs_traits(parts),
            is_first_page=not request.page_token,
        )
    with faults:
        cursors = read_token(key, scope, request.page_token, list[int | bytes | None])
    faults.refuse()
    number = call.space.record.number
    page = await reader.run(list_profiles(reader.shard_map, number, search, cursors, size))
    response = profile_service_pb2.ListProfilesResponse(
        profiles=[
            profile_to_wire(profile, collection, parts, call, directory)
            for profile in page.profiles
        ],
        header=header_pb2.ReplyHeader(request_id=call.request_id),
    )
    if page.cursors is not None:
        response.next_page_token = make_token(key, scope, page.cursors)
    return response


def _search(
    request: Any, collection: str, space: Space, *, with_traits: bool, is_first_page: bool
) -> Search:
    """Returns how a request wants profiles to be found."""
    kind = request.WhichOneof("filter")
    number, side = space.record.number, int(collection == ACCOUNTS)
    if kind == "identifier_prefix":
        type_, beginning = _check_prefix(request.identifier_prefix, collection, space)
        return ByPrefix(number, side, type_, beginning, with_traits=with_traits)
    if kind == "trait":
        return ByTrait(number, side, request.trait.name, _check_trait(request.trait, space))
    return ByActivity(number, side, with_traits=with_traits, is_first_page=is_first_page)


def _check_prefix(identifier: Any, collection: str, space: Space) -> tuple[str, str]:
    """Returns (type, beginning), the latter normalised like a whole value."""
    violations = []
    if identifier.collection not in {"", collection}:
        violations.append(("identifier_prefix.collection", "is not that of the request"))
    if not is_type_name(identifier.type):
        violations.append(("identifier_prefix.type", "is no type of identifier"))
    beginning = None
    if len(identifier.value.encode()) <= PREFIX_BYTES_MAX:
        beginning = normalise_value(
            identifier.type, identifier.value, lowercase_email=space.view.rules.lowercase_email
        )
    if beginning is None:
        text = f"is not 1 to {PREFIX_BYTES_MAX} bytes that an identifier can begin with"
        violations.append(("identifier_prefix.value", text))
    if violations:
        raise RequestInvalidError(violations)
    return identifier.type, beginning or ""


def _check_trait(trait: Any, space: Space) -> str:
    """Returns the value that is looked for, folded."""
    violations = []
    if trait.name not in space.view.rules.searchable_traits:
        violations.append(("trait.name", "is none of the space's searchable traits"))
    text = fold_text(trait.value)
    if not 0 < len(text.encode()) <= TRAIT_BYTES_MAX:
        violations.append(("trait.value", f"is not 1 to {TRAIT_BYTES_MAX} bytes"))
    if violations:
        raise RequestInvalidError(violations)
    return text
