"""The envelope of everything stored: a format byte, a version and a checksum before the payload."""

from __future__ import annotations

import struct
from zlib import crc32

from unify_grpc.storage.errors import StorageCorruptError

FORMAT = 1
_HEAD = struct.Struct("<BBI")
HEAD_BYTES = _HEAD.size


def seal(payload: bytes, version: int = 0) -> bytes:
    """Returns the payload as stored, under a format byte, `version` and a CRC-32."""
    return _HEAD.pack(FORMAT, version, crc32(payload)) + payload


def unseal(data: bytes, what: str) -> bytes:
    """Returns the payload; `StorageCorruptError`, naming `what`, if it is not as it was sealed."""
    if len(data) < HEAD_BYTES:
        raise StorageCorruptError(what + " is cut short")
    format_, _, checksum = _HEAD.unpack_from(data)
    payload = data[HEAD_BYTES:]
    if format_ != FORMAT:
        raise StorageCorruptError(f"{what} has format {format_}, which is not known here")
    if crc32(payload) != checksum:
        raise StorageCorruptError(what + " does not match its checksum")
    return payload


def version_of(data: bytes) -> int:
    """Returns the version that a sealed payload was written under."""
    return data[1]
