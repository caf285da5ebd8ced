"""Events of a workload as the requests that a Segment SDK would make of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from bench.wrk import Request
from unify_grpc._pb.unify.v1 import event_pb2, ingest_service_pb2

BATCH_PATH: Final = "/v1/batch"
SUCCESS: Final = '"success":true'


def write_request(batch: bytes) -> Request:
    """Returns the call for a batch as `write_batch` made it: of one event, the route of its type.

    Its answer has to say that all was taken.
    """
    events = ingest_service_pb2.IngestStreamRequest.FromString(batch).events
    messages = [_message(each) for each in events]
    if len(events) == 1:
        return Request("POST", f"/v1/{events[0].type}", SUCCESS, messages[0])
    return Request("POST", BATCH_PATH, SUCCESS, b'{"batch":[%s]}' % b",".join(messages))


def _message(event: event_pb2.Event) -> bytes:
    time = event.original_timestamp
    moment = datetime.fromtimestamp(time.seconds, UTC).replace(microsecond=time.nanos // 1000)
    # Nothing of a workload's ids and names has to be escaped.
    texts = {
        "type": event.type,
        "messageId": event.message_id,
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "userId": event.user_id,
        "anonymousId": event.anonymous_id,
        "event" if event.type == "track" else "name": event.name,
    }
    objects = {
        "traits": event.traits_json,
        "properties": event.properties_json,
        "context": event.context_json,
    }
    fields = [f'"{name}":"{text}"'.encode() for name, text in texts.items() if text]
    fields += [f'"{name}":'.encode() + text for name, text in objects.items() if text]
    return b"{%s}" % b",".join(fields)
