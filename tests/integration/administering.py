"""`SpaceService` as tests call it: plain stubs, and refusals with all they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from unify_client import UnifyClient

from unify_grpc._pb.unify.v1 import space_service_pb2 as wire
from unify_grpc._pb.unify.v1 import space_service_pb2_grpc

if TYPE_CHECKING:
    from types import TracebackType


class Refusal(NamedTuple):
    """Why a call was refused."""

    code: str
    reason: str
    fields: list[str]
    """The fields at fault."""


class Administering:
    """Calls `SpaceService` with one credential."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.metadata = (("authorization", f"Bearer {key}"),)
        self._channel = grpc.insecure_channel(address)
        self._stub = space_service_pb2_grpc.SpaceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def __call__(self, method: str, **fields: Any) -> Any:
        """Makes a call and returns the answer."""
        request = getattr(wire, method + "Request")(**fields)
        return getattr(self._stub, method)(request, metadata=self.metadata, timeout=30)

    def refusal(self, method: str, **fields: Any) -> Refusal:
        """Makes a call that is refused, and returns why."""
        try:
            answer = self(method, **fields)
        except grpc.RpcError as error:
            return refusal_of(error)
        raise AssertionError(f"{method} was not refused: {answer}")

    def set_rules(self, space: str, document: dict[str, Any], **fields: Any) -> Any:
        """Sets a space's rules and returns them as they hold."""
        rules = json.dumps(document).encode()
        return self("SetRules", space=space, rules_json=rules, **fields).rules

    def all_pages(self, method: str, items: str, **fields: Any) -> list[Any]:
        """Returns what a list holds, page by page."""
        listed, token = [], ""
        while True:
            page = self(method, page_token=token, **fields)
            listed += getattr(page, items)
            token = page.next_page_token
            if not token:
                return listed

    def client(self, key: str) -> UnifyClient:
        """Returns a client of the same service."""
        return UnifyClient(self.address, key=key)


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Returns what an error says."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    reason, fields = "", []
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            fields = [each.field for each in bad.field_violations]
    return Refusal(error.code().name, reason, fields)
