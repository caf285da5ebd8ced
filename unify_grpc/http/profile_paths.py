"""What the path of a Profile API call names, read before it is percent-decoded.

So a value may have any character in it, an encoded `/` too, and `+` is itself. A `/` that somebody
forgot to encode, or a proxy decoded, is taken for one of the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from unify_grpc.http.refusals import HttpError

if TYPE_CHECKING:
    from starlette.types import Scope

ROOTS: Final = (b"spaces", b"namespaces")
"""The second is what `spaces` were called once."""
RESOURCES: Final = ("traits", "external_ids", "events", "metadata", "links")
DELETION: Final = "external_ids/delete"
_FIXED: Final = [b"v1", b"collections", b"profiles"]
_FIRST_OF_PROFILE: Final = 6
"""Of `v1/spaces/SPACE/collections/COLLECTION/profiles/PROFILE/RESOURCE`."""


class NoRouteError(HttpError):
    """There is no such route."""

    status = 404
    code = "not_found"


class PathInvalidError(HttpError):
    """The path is not UTF-8, percent-encoded."""

    code = "invalid_request_error"

    def __init__(self, resource: str = "") -> None:
        super().__init__()
        self.resource = resource
        """What the path ends with, which could be read."""


class ProfilePath(NamedTuple):
    """What a path names, decoded; nothing of it is checked yet."""

    space: str
    """An id or a name."""
    collection: str
    profile: str
    """`type:value` or a segment_id."""
    resource: str
    """Of `RESOURCES`, or `DELETION`."""


def read_path(scope: Scope) -> ProfilePath:
    """Returns what the path of a request names.

    Raises:
        NoRouteError: it is not of the form of any call.
        PathInvalidError: it cannot be decoded.
    """
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    parts = raw.removeprefix(b"/").removesuffix(b"/").split(b"/")
    length = 2 if parts[-2:] == [b"external_ids", b"delete"] else 1
    resource = b"/".join(parts[-length:]).decode("ascii", "replace")
    profile = parts[_FIRST_OF_PROFILE:-length]
    if not profile or parts[1] not in ROOTS or resource not in {*RESOURCES, DELETION}:
        raise NoRouteError
    if [parts[0], parts[3], parts[5]] != _FIXED:
        raise NoRouteError
    named = (parts[2], parts[4], b"/".join(profile))
    try:
        space, collection, profile_name = (unquote_to_bytes(part).decode() for part in named)
    except UnicodeDecodeError:
        raise PathInvalidError(resource) from None
    return ProfilePath(space, collection, profile_name, resource)
