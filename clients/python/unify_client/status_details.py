"""What a failed call says about itself beyond its code: a reading of `google.rpc.Status`.

The details travel as bytes in the trailing metadata. Their messages are in a package of their own
(googleapis-common-protos), which this client does without: the few fields that it needs are
described below, in a descriptor pool that nobody else sees, so that they clash with that package
neither where it is installed nor where it is not. Shapes equal on the wire are enough for that: a
map is described as its entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

METADATA_KEY = "grpc-status-details-bin"
"""Where the details travel."""

_PACKAGE = "unify_client.status"
_TYPE_PREFIX = "type.googleapis.com/google.rpc."

# Fields by number, from 1. A star makes a list, a capital letter another message of the table.
_SHAPES: dict[str, tuple[str, ...]] = {
    "Status": ("code:int32", "message:string", "details:Any*"),
    "Any": ("type_url:string", "value:bytes"),
    "ErrorInfo": ("reason:string", "domain:string", "metadata:Entry*"),
    "Entry": ("key:string", "value:string"),
    "RetryInfo": ("retry_delay:Duration",),
    "Duration": ("seconds:int64", "nanos:int32"),
    "BadRequest": ("field_violations:FieldViolation*",),
    "FieldViolation": ("field:string", "description:string"),
}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is at fault."""

    field: str
    """The path of the field, such as `events` or `name.identifier.type`."""
    description: str
    """What is wrong with it, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDetails:
    """What the details of a status say; everything is empty where they say nothing."""

    reason: str = ""
    """Why the call failed, as a stable word such as `PROFILE_NOT_FOUND`."""
    domain: str = ""
    """Whose word that is: `unify` for the service's own."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The facts that belong to the reason."""
    violations: tuple[FieldViolation, ...] = ()
    """Every field at fault."""
    retry_delay_s: float | None = None
    """After how many seconds a repetition may help; None where the service does not ask for one."""


def _message_classes() -> dict[str, Any]:
    kinds = FieldDescriptorProto
    scalars = {
        "int32": kinds.TYPE_INT32,
        "int64": kinds.TYPE_INT64,
        "string": kinds.TYPE_STRING,
        "bytes": kinds.TYPE_BYTES,
    }
    file = FileDescriptorProto(name="unify_client/status.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _SHAPES.items():
        message = file.message_type.add(name=name)
        for number, shape in enumerate(fields, start=1):
            field_name, _, kind = shape.partition(":")
            element = kind.removesuffix("*")
            described = message.field.add(
                name=field_name,
                number=number,
                label=kinds.LABEL_OPTIONAL if element == kind else kinds.LABEL_REPEATED,
                type=scalars.get(element, kinds.TYPE_MESSAGE),
            )
            if element not in scalars:
                described.type_name = f".{_PACKAGE}.{element}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _SHAPES
    }


_CLASSES = _message_classes()


def read_details(trailing_metadata: Iterable[tuple[str, str | bytes]] | None) -> StatusDetails:
    """Returns what a call's trailing metadata say; details that cannot be read say nothing."""
    for key, value in trailing_metadata or ():
        if key == METADATA_KEY and isinstance(value, bytes):
            try:
                return _read_status(value)
            except DecodeError:
                return StatusDetails()
    return StatusDetails()


def write_details(code: int, message: str, details: StatusDetails) -> bytes:
    """Returns the bytes of a status, for a server that fails a call on purpose."""
    status = _CLASSES["Status"](code=code, message=message)
    if details.reason:
        info = _CLASSES["ErrorInfo"](reason=details.reason, domain=details.domain)
        for key, value in details.metadata.items():
            info.metadata.add(key=key, value=value)
        _pack(status, info)
    if details.violations:
        bad_request = _CLASSES["BadRequest"]()
        for violation in details.violations:
            bad_request.field_violations.add(
                field=violation.field, description=violation.description
            )
        _pack(status, bad_request)
    if details.retry_delay_s is not None:
        nanos = round(details.retry_delay_s * 1e9)
        retry_info = _CLASSES["RetryInfo"]()
        retry_info.retry_delay.seconds = nanos // 1_000_000_000
        retry_info.retry_delay.nanos = nanos % 1_000_000_000
        _pack(status, retry_info)
    written: bytes = status.SerializeToString()
    return written


def _pack(status: Any, detail: Any) -> None:
    status.details.add(
        type_url=_TYPE_PREFIX + detail.DESCRIPTOR.name,
        value=detail.SerializeToString(),
    )


def _read_status(status_bytes: bytes) -> StatusDetails:
    said: dict[str, Any] = {}
    for packed in _CLASSES["Status"].FromString(status_bytes).details:
        name = packed.type_url.removeprefix(_TYPE_PREFIX)
        if name == "ErrorInfo":
            info = _CLASSES[name].FromString(packed.value)
            said["reason"] = info.reason
            said["domain"] = info.domain
            said["metadata"] = {entry.key: entry.value for entry in info.metadata}
        elif name == "RetryInfo":
            delay = _CLASSES[name].FromString(packed.value).retry_delay
            said["retry_delay_s"] = max(0.0, delay.seconds + delay.nanos / 1e9)
        elif name == "BadRequest":
            said["violations"] = tuple(
                FieldViolation(violation.field, violation.description)
                for violation in _CLASSES[name].FromString(packed.value).field_violations
            )
    return StatusDetails(**said)
