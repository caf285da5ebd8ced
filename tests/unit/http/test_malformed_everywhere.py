"""Bodies that are no JSON, or too much of it, and compressed ones that are not what they say."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from tests.unit.http.malformed_bodies import (
    BEYOND_UTF8,
    COMPRESSED_WRONG,
    DEEP,
    EVENT,
    MUCH_OF_IT,
    MUCH_THAT_IS_TAKEN,
    ONE,
    bomb,
)
from tests.unit.http.profile_edge import ProfileEdge, error, identify
from tests.unit.http.test_malformed import BROKEN, GOOD
from tests.unit.http.tracking_edge import JSON, TrackingEdge, fault
from unify_grpc.http.messages import EVENT_BYTES_MAX
from unify_grpc.http.profile_routes import BODY_BYTES_MAX


@pytest.mark.parametrize("body", BEYOND_UTF8.values(), ids=BEYOND_UTF8)
async def test_what_is_no_batch_is_400(body: bytes) -> None:
    """In other encodings, of other formats, or only almost one."""
    assert (400, "invalid_json") == fault(await TrackingEdge().send("/v1/batch", body))


@pytest.mark.parametrize("body", MUCH_OF_IT.values(), ids=MUCH_OF_IT)
async def test_much_of_nothing_is_400(body: bytes) -> None:
    """However deep or long, as a batch; as an event it is too large before anybody looks at it."""
    edge = TrackingEdge()

    assert fault(await edge.send("/v1/batch", body))[0] == 400
    assert (413, "body_too_large") == fault(await edge.send("/v1/track", body))
    assert {} == edge.backend.stored


@pytest.mark.parametrize("body", MUCH_THAT_IS_TAKEN.values(), ids=MUCH_THAT_IS_TAKEN)
async def test_much_around_an_event_keeps_it_from_nothing(body: bytes) -> None:
    """As long as all of it is within bounds."""
    edge = TrackingEdge()

    assert 200 == (await edge.send("/v1/batch", body)).status_code
    assert ["m"] == list(edge.backend.stored)


@pytest.mark.parametrize(
    "place", [b'"userId"', b'"traits"', b'"timestamp"', b'"x"', b'"messageId"']
)
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_an_event_as_deep_as_its_bytes_allow_is_refused_by_itself(
    place: bytes, opening: bytes
) -> None:
    """In whatever place; the one behind it is stored."""
    count = (EVENT_BYTES_MAX - 200) // (len(opening) + 1)
    closing = b"]" if opening == b"[" else b"}"
    deep = b'{"type":"identify",%s:%s1%s}' % (place, opening * count, closing * count)
    edge = TrackingEdge()

    answer = await edge.send("/v1/batch?strict=1", b'{"batch":[%s,%s]}' % (deep, EVENT))

    assert 200 == answer.status_code
    assert ["REJECTED", "STORED"] == [each["status"] for each in answer.json()["results"]]


@pytest.mark.parametrize("name", [*BROKEN, *BEYOND_UTF8])
async def test_a_deletion_that_is_no_json_deletes_nothing(name: str) -> None:
    """Nor one that is JSON and names nothing."""
    edge = ProfileEdge(space_reads_per_s=0)
    await edge.open(identify("u", traits={"email": "u@example.com"}))
    body = BROKEN.get(name, BEYOND_UTF8.get(name, b""))

    refused = await edge.delete("user_id:u", body)

    is_large = len(body) > BODY_BYTES_MAX
    assert ((413, "body_too_large") if is_large else (400, "bad_request")) == error(refused)
    assert 200 == (await edge.get("users/profiles/email:u@example.com/traits")).status_code


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"delete_external_ids":['])
async def test_a_deletion_may_be_deep(opening: bytes) -> None:
    """As deep as its bytes allow; beyond them it is too large."""
    edge = ProfileEdge(space_reads_per_s=0)
    await edge.open(identify("u"))
    fitting = opening * (BODY_BYTES_MAX // len(opening))

    assert (400, "bad_request") == error(await edge.delete("user_id:u", fitting))
    assert (413, "body_too_large") == error(await edge.delete("user_id:u", opening * DEEP))


@pytest.mark.parametrize("body", COMPRESSED_WRONG.values(), ids=COMPRESSED_WRONG)
async def test_what_is_not_compressed_as_it_says_is_400(body: bytes) -> None:
    """And nothing of it is stored, though some could be read."""
    edge = TrackingEdge()

    answer = await edge.send("/v1/batch", body, content_encoding="gzip")

    assert (400, "invalid_body") == fault(answer)
    assert {} == edge.backend.stored


@pytest.mark.parametrize("level", [0, 1, 9])
async def test_however_well_it_is_compressed_it_is_taken(level: int) -> None:
    """Not at all, fast, or best; with a name and a time in its head."""
    packer = zlib.compressobj(level, wbits=31)
    plain = packer.compress(ONE) + packer.flush()
    named = b"\x1f\x8b\x08\x08\x01\x02\x03\x04\0\x03name\0" + plain[10:]
    for body in (plain, named):
        edge = TrackingEdge()
        assert 200 == (await edge.send("/v1/b", body, content_encoding="gzip")).status_code
        assert ["m"] == list(edge.backend.stored)


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track"])
async def test_a_bomb_of_a_gigabyte_takes_a_megabyte(path: str) -> None:
    """Beside itself; a bomb inside of a bomb is one file that is no JSON, or too large too."""
    body = bomb(1024)
    inside = gzip.compress(body)
    edge = TrackingEdge()
    tracemalloc.start()
    try:
        answers = [await edge.send(path, body, content_encoding="gzip") for _ in range(3)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [(413, "body_too_large")] * 3 == [fault(each) for each in answers]
    assert peak < len(body) + (3 << 20)
    twice = await edge.send(path, inside, content_encoding="gzip")
    assert (413, "body_too_large") == fault(twice)
    listed = await edge.send(path, inside, content_encoding="gzip, gzip")
    assert (400, "invalid_body") == fault(listed)
    assert JSON == listed.headers["content-type"]


async def test_an_event_beside_the_worst_of_a_batch_is_stored() -> None:
    """Each broken event of these is refused by itself."""
    edge = TrackingEdge()
    broken = [each for each in BROKEN.values() if each.startswith(b"{") and each.endswith(b"}")]
    bodies = [b'{"batch":[%s,%s]}' % (each, EVENT) for each in broken if each.count(b"}") == 1]

    answers = [await edge.send("/v1/batch?strict=1", body) for body in bodies]

    assert len(bodies) > 10
    for answer in answers:
        assert 200 == answer.status_code, answer.text
        assert answer.json()["results"][0]["status"] == "REJECTED"
        assert answer.json()["results"][1]["status"] in {"STORED", "DUPLICATE"}
    assert GOOD["messageId"] not in edge.backend.stored
