"""Every method of the service as its descriptors tell, and calls whose answers compare by byte."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import grpc
from google.protobuf import message_factory
from google.rpc import error_details_pb2, status_pb2

import unify_grpc._pb.unify.v1 as generated

if TYPE_CHECKING:
    from types import TracebackType

    from google.protobuf.descriptor import Descriptor

REQUEST_ID: Final = "always-the-same"
"""Of every call: two answers differ by nothing but what they say."""
DETAILS: Final = "grpc-status-details-bin"


class Method(NamedTuple):
    """One RPC."""

    name: str
    """Without the package: `ProfileService/GetProfile`."""
    request: Descriptor
    response: Descriptor
    streams_requests: bool
    streams_responses: bool


def all_methods() -> dict[str, Method]:
    """Returns every method of every service there is, by name."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        if not module.name.endswith("_pb2"):
            continue
        file = importlib.import_module(f"{generated.__name__}.{module.name}").DESCRIPTOR
        for service in file.services_by_name.values():
            for method in service.methods:
                name = f"{service.name}/{method.name}"
                found[name] = Method(
                    name,
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return found


METHODS: Final = all_methods()


class Answer(NamedTuple):
    """All that a caller is told, by whatever way."""

    code: str
    text: str
    trailing: tuple[tuple[str, str | bytes], ...]
    data: bytes
    """Of the response, of a stream its first; empty for a refusal."""

    @property
    def reason(self) -> str:
        """Of a refusal."""
        info = error_details_pb2.ErrorInfo()
        return next((info.reason for each in self._status().details if each.Unpack(info)), "")

    @property
    def fields(self) -> list[str]:
        """The fields at fault."""
        bad = error_details_pb2.BadRequest()
        for each in self._status().details:
            if each.Unpack(bad):
                return [violation.field for violation in bad.field_violations]
        return []

    def _status(self) -> Any:
        return status_pb2.Status.FromString(_as_bytes(dict(self.trailing).get(DETAILS, b"")))

    def says(self, text: str) -> bool:
        """Whether a text stands anywhere in it."""
        told = [self.text.encode(), self.data, *(_as_bytes(each) for _, each in self.trailing)]
        return any(text.encode() in each for each in told)


class RawCalls:
    """Calls any method with any credential."""

    def __init__(self, address: str) -> None:
        self.channel: Any = grpc.insecure_channel(address)  # its types know messages only

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.close()

    def __call__(
        self, method: str, fields: dict[str, Any] | None = None, *, key: str, space: str = ""
    ) -> Answer:
        """Makes a call and returns its answer, of a stream the first.

        Args:
            method: as in `METHODS`.
            fields: of the request.
            key: sent as `Bearer`.
            space: sent as `unify-space`, unless empty.
        """
        metadata = [("authorization", f"Bearer {key}"), ("x-request-id", REQUEST_ID)]
        if space:
            metadata.append(("unify-space", space))
        known = METHODS[method]
        data = _message(known.request, fields or {}).SerializeToString()
        call = self._open(known, data, {"metadata": metadata, "timeout": 20})
        try:
            first = next(iter(call)) if known.streams_responses else call.result()
        except grpc.RpcError as error:
            return _refusal(error)
        call.cancel()
        return Answer("OK", "", (), first)

    def response(self, method: str, answer: Answer) -> Any:
        """Returns what a call that was not refused was answered."""
        assert "OK" == answer.code, f"{method}: {answer}"
        return message_factory.GetMessageClass(METHODS[method].response).FromString(answer.data)

    def _open(self, method: Method, data: bytes, options: dict[str, Any]) -> Any:
        path = f"/unify.v1.{method.name}"
        if method.streams_requests:
            return self.channel.stream_stream(path)(iter([data]), **options)
        if method.streams_responses:
            return self.channel.unary_stream(path)(data, **options)
        return self.channel.unary_unary(path).future(data, **options)


def _message(descriptor: Descriptor, fields: dict[str, Any]) -> Any:
    return message_factory.GetMessageClass(descriptor)(**fields)


def _refusal(error: Any) -> Answer:
    trailing = tuple((name, value) for name, value in error.trailing_metadata() or ())
    return Answer(error.code().name, error.details() or "", trailing, b"")


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
