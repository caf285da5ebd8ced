"""Page tokens: a position in a list, signed, so that nobody can make one up or carry it elsewhere.

A token is good for the same space, call and filters, on every gateway and after restarts: it is
signed with control's key, and holds a position, not a place in somebody's memory.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import msgspec

from unify_grpc.service.errors import RequestInvalidError

if TYPE_CHECKING:
    from google.protobuf.message import Message

T = TypeVar("T")
_SIGNATURE_BYTES = 16
TOKEN_CHARS_MAX = 65_536


def _signature(key: bytes, scope: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, scope + payload, sha256)[:_SIGNATURE_BYTES]


def scope_of(method: str, space: int, request: Message) -> bytes:
    """Returns what binds a token: the call, the space, and all of the request but its page."""
    filters = type(request)()
    filters.CopyFrom(request)
    for name in ("page_token", "page_size", "resume_token"):
        if name in filters.DESCRIPTOR.fields_by_name:
            filters.ClearField(name)
    text = filters.SerializeToString(deterministic=True)
    return sha256(method.encode() + b"\0" + space.to_bytes(4, "big") + text).digest()


def make_token(key: bytes, scope: bytes, position: object) -> str:
    """Returns the token of the page after `position`."""
    payload = msgspec.msgpack.encode(position)
    signed = _signature(key, scope, payload) + payload
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def read_token(
    key: bytes, scope: bytes, token: str, kind: type[T], field: str = "page_token"
) -> T | None:
    """Returns the position in a token, None for an empty one; `field` is where it stood.

    Raises:
        RequestInvalidError: it was not made for this call, space and filters, or is damaged.
    """
    if not token:
        return None
    refusal = RequestInvalidError([(field, "is not one of this call with these filters")])
    if len(token) > TOKEN_CHARS_MAX:
        raise refusal
    try:
        signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError) as error:
        raise refusal from error
    signature, payload = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(key, scope, payload)):
        raise refusal
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except msgspec.DecodeError as error:
        raise refusal from error
