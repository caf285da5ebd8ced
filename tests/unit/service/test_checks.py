"""Checks of request fields name the field, and clamp what the contract says is clamped."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from unify_grpc._pb.unify.v1.profile_service_pb2 import ListEventsRequest
from unify_grpc.service.checks import check_count, check_page_size, check_time
from unify_grpc.service.errors import RequestInvalidError


@pytest.mark.parametrize(("asked", "expected"), [(0, 10), (1, 1), (100, 100), (101, 100)])
def test_a_page_size_is_clamped(asked: int, expected: int) -> None:
    """None given is the default, and more than the maximum is the maximum."""
    assert expected == check_page_size(asked, 10, 100)


def test_a_negative_page_size_is_refused() -> None:
    """A negative size is a mistake of the caller, told by its field."""
    with pytest.raises(RequestInvalidError) as refused:
        check_page_size(-1, 10, 100)
    assert ["page_size"] == [field for field, _ in refused.value.violations]


def test_a_list_may_be_full_and_not_fuller() -> None:
    """The bound itself is allowed."""
    check_count("events", range(3), 3)
    with pytest.raises(RequestInvalidError, match="events: has over 3"):
        check_count("events", range(4), 3)


def test_a_time_is_read_in_microseconds() -> None:
    """An absent one is None, and parts of a microsecond are cut off."""
    assert check_time("start_time", ListEventsRequest()) is None
    request = ListEventsRequest(start_time=Timestamp(seconds=3, nanos=5_999))
    assert 3_000_005 == check_time("start_time", request)


@pytest.mark.parametrize(
    "time",
    [
        Timestamp(seconds=1, nanos=-1),
        Timestamp(seconds=1, nanos=1_000_000_000),
        Timestamp(seconds=300_000_000_000),
        Timestamp(seconds=-300_000_000_000),
    ],
)
def test_a_time_that_cannot_be_is_refused(time: Timestamp) -> None:
    """A Timestamp can hold what is no time; the field is named."""
    with pytest.raises(RequestInvalidError, match="start_time: is out of range"):
        check_time("start_time", ListEventsRequest(start_time=time))
