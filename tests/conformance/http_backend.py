"""A space of a running service, sent to over HTTP, as a backend of the conformance cases."""

from __future__ import annotations

from typing import Any

import httpx

from tests.conformance.grpc_backend import GrpcBackend, Result


class HttpBackend(GrpcBackend):
    """A space of its own whose events come by the Tracking API; it is read over gRPC."""

    def __init__(self, address: str, http_url: str, rules: dict[str, Any]) -> None:
        super().__init__(address, rules)
        self._http = httpx.Client(base_url=http_url, auth=(self.write_key, ""), timeout=30)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()
        super().close()

    def send(self, event: dict[str, Any]) -> Result:
        """Sends one Segment message, and asks what became of it."""
        self.remember(event)
        answer = self._http.post("/v1/batch?strict=1", json={"batch": [as_sent(event)]})
        answer.raise_for_status()
        (result,) = answer.json()["results"]
        return Result(
            result["status"],
            result.get("reason"),
            result.get("outcome") or None,
            [
                (d["collection"], d["type"], d["value"], d["reason"])
                for d in result.get("drops", ())
            ],
            result.get("segmentId") or result.get("accountSegmentId"),
        )


def as_sent(event: dict[str, Any]) -> dict[str, Any]:
    """Returns a message as Segment's SDKs send it: external ids are in its context."""
    if "externalIds" not in event:
        return event
    context = event.get("context") or {}
    listed = [*event["externalIds"], *context.get("externalIds", ())]
    return {**event, "context": {**context, "externalIds": listed}}
