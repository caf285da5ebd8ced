"""Bodies: how large, how compressed, how late."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from typing import Any

import pytest
from starlette.requests import Request

from tests.unit.http.tracking_edge import TrackingEdge, fault
from unify_grpc.http.bodies import DROPPED_BYTES_MAX, read_body
from unify_grpc.http.messages import BATCH_EVENTS_MAX, ENVELOPE_BYTES, EVENT_BYTES_MAX
from unify_grpc.http.refusals import BodyLateError, BodyTooLargeError, BodyUnreadableError
from unify_grpc.http.tracking_routes import BATCH_BYTES_MAX

SHORT = (",", ":")
MESSAGE = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}


def request_of(chunks: list[bytes], *, hangs: bool = False, **headers: str) -> tuple[Request, Any]:
    """Returns a request whose body comes in chunks, and how many of them are left.

    Args:
        chunks: in their order.
        hangs: the caller goes on waiting instead of ending the body.
        headers: names have `_` for `-`.
    """
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or hangs}
        assert hangs, "the body had ended"
        await asyncio.Event().wait()
        return {}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive), left


async def test_a_body_is_all_of_its_chunks() -> None:
    """Joined in their order."""
    request, _ = request_of([b"ab", b"", b"cd"])

    assert b"abcd" == await read_body(request, 4)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " gzip ", "deflate"])
@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_a_compressed_body_is_what_it_decompresses_to(encoding: str, step: int) -> None:
    """However it is cut into chunks."""
    packed = zlib.compress(b"abcd" * 10) if encoding == "deflate" else gzip.compress(b"abcd" * 10)
    chunks = [packed[at : at + step] for at in range(0, len(packed), step)]
    request, _ = request_of(chunks, content_encoding=encoding)

    assert b"abcd" * 10 == await read_body(request, 40 + len(packed))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"no gzip", "gzip"),
        # Without a time, for parameters name a test, and every worker has to collect the same.
        (gzip.compress(b"abc", mtime=0)[:-1], "gzip"),
        (gzip.compress(b"abc", mtime=0) + b"more", "gzip"),
        (b"", "gzip"),
        (b"abc", "br"),
        (b"abc", "gzip, gzip"),
    ],
)
async def test_a_body_that_is_not_compressed_as_it_says_is_refused(
    body: bytes, encoding: str
) -> None:
    """Cut short, followed by something, in another way or not at all."""
    request, _ = request_of([body], content_encoding=encoding)

    with pytest.raises(BodyUnreadableError):
        await read_body(request, 1000)


async def test_of_a_bomb_no_more_is_unpacked_than_may_be() -> None:
    """A gigabyte of blanks in a megabyte: refused, with what is allowed of it in memory at most."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    request, _ = request_of([packed.getvalue()], content_encoding="gzip")

    with pytest.raises(BodyTooLargeError):
        await read_body(request, BATCH_BYTES_MAX)


@pytest.mark.parametrize(
    ("kind", "spare", "status"),
    [("track", 0, 200), ("track", 1, 413), ("batch", 0, 200), ("batch", 1, 413)],
)
@pytest.mark.parametrize("is_packed", [False, True])
async def test_the_bound_is_on_what_it_decompresses_to(
    kind: str, spare: int, status: int, *, is_packed: bool
) -> None:
    """To the byte: 32 KB an event, 500 KB a batch, and 4 KB for what is around them."""
    bytes_max, message = (
        (EVENT_BYTES_MAX, json.dumps(MESSAGE))
        if kind == "track"
        else (BATCH_BYTES_MAX, json.dumps({"batch": [MESSAGE]}))
    )
    body = message.encode() + b" " * (bytes_max + ENVELOPE_BYTES - len(message) + spare)
    edge = TrackingEdge()

    answer = await (
        edge.send(f"/v1/{kind}", gzip.compress(body), content_encoding="gzip")
        if is_packed
        else edge.send(f"/v1/{kind}", body)
    )

    assert status == answer.status_code
    assert (["m"] if status == 200 else []) == list(edge.backend.stored)
    if status == 413:
        assert (413, "body_too_large") == fault(answer)


async def test_too_large_a_body_is_read_to_its_end_if_that_is_near() -> None:
    """A caller that still sends when it is hung up on does not hear why."""
    request, left = request_of([bytes(1000)] * 50)

    with pytest.raises(BodyTooLargeError):
        await read_body(request, 10)
    assert not left


async def test_a_body_without_an_end_is_not_read_for_ever() -> None:
    """After a few megabytes the caller is refused."""
    chunk = bytes(1 << 20)
    request, left = request_of([chunk] * 10)

    with pytest.raises(BodyTooLargeError):
        await read_body(request, 10)
    assert 10 - DROPPED_BYTES_MAX // len(chunk) - 1 == len(left)


@pytest.mark.parametrize("length", [str(DROPPED_BYTES_MAX + 1), "9" * 5000])
async def test_a_body_that_says_how_much_too_large_it_is_is_not_read(length: str) -> None:
    """Not a byte of it."""
    request, left = request_of([b"ab"], content_length=length)

    with pytest.raises(BodyTooLargeError):
        await read_body(request, 10)
    assert [b"ab"] == left


async def test_a_body_that_does_not_end_in_time_may_be_sent_again() -> None:
    """A caller that stops in the middle holds nothing up, and 503 has its SDK try again."""
    request, _ = request_of([b'{"batch'], hangs=True)

    with pytest.raises(BodyLateError) as raised:
        await read_body(request, 1000, timeout_s=0)
    assert (503, 1) == (raised.value.status, raised.value.retry_s)


async def test_a_caller_that_hangs_up_is_not_waited_for() -> None:
    """What it sent is not looked at."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(BodyUnreadableError):
        await read_body(Request({"type": "http", "method": "POST", "headers": []}, receive), 10)


async def test_a_batch_has_2500_events_at_most() -> None:
    """One more refuses all of it, and says so."""
    edge = TrackingEdge()
    batch: dict[str, Any] = {"batch": [{}] * (BATCH_EVENTS_MAX + 1)}

    assert (400, "too_many_events") == fault(await edge.post("/v1/batch", batch))
    batch["batch"].pop()
    assert 200 == (await edge.post("/v1/batch", batch)).status_code
    assert ["UNKNOWN_TYPE"] * BATCH_EVENTS_MAX == edge.reasons()


@pytest.mark.parametrize(("spare", "status"), [(0, 200), (1, 413)])
async def test_an_event_alone_is_judged_without_what_is_not_its_own(
    spare: int, status: int
) -> None:
    """An event of 32 KB may have a key and a time of sending beside it."""
    edge = TrackingEdge()
    room = EVENT_BYTES_MAX - len(json.dumps({**MESSAGE, "properties": {"x": ""}}, separators=SHORT))
    message = {**MESSAGE, "properties": {"x": "a" * (room + spare)}}
    more = {"writeKey": "WRITEKEY", "sentAt": "2024-01-01T00:00:00Z"}

    answer = await edge.send(
        "/v1/track", json.dumps({**message, **more}, separators=SHORT).encode()
    )

    assert status == answer.status_code


async def test_one_event_too_large_is_that_events_fault() -> None:
    """The others are stored; the context of its batch is not the event's."""
    edge = TrackingEdge()
    room = EVENT_BYTES_MAX - len(json.dumps({**MESSAGE, "properties": {"x": ""}}))
    events = [
        {**MESSAGE, "messageId": f"{at}", "properties": {"x": "a" * (room + more)}}
        for at, more in enumerate((0, 1))
    ]

    await edge.post("/v1/batch", {"batch": events})
    await edge.post("/v1/batch", {"batch": [{**events[0], "messageId": "2"}], "context": {"a": 1}})

    assert ["0", "2"] == list(edge.backend.stored)
    assert ["EVENT_TOO_LARGE"] == edge.reasons()
