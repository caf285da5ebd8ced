"""Token buckets: how much at once, how fast again, whose, and what refused callers are told."""

from __future__ import annotations

import pytest

from unify_grpc.http import rate_limit
from unify_grpc.http.rate_limit import RateLimit, RateLimitedError, RateLimits, Standing


def limits(space: int = 100, key: int = 0, gateways: int = 1) -> RateLimits:
    """Returns limits of calls."""
    return RateLimits(space_per_s=space, key_per_s=key, gateways=gateways)


def taken(
    of: RateLimits, now_s: float, *, space: str = "s", key: str = "k", tries: int = 500
) -> int:
    """Returns how many of a flood of calls at one moment are let through."""
    for count in range(tries):
        try:
            of.take(space, key, now_s)
        except RateLimitedError:
            return count
    return tries


def test_the_101st_call_at_once_is_refused() -> None:
    """A bucket holds a second's worth."""
    assert 100 == taken(limits(), 5.0)


@pytest.mark.parametrize(
    ("later_s", "count"), [(0.0, 0), (0.01, 1), (0.5, 50), (1.0, 100), (60.0, 100)]
)
def test_a_bucket_fills_at_its_rate(later_s: float, count: int) -> None:
    """And holds no more than a second's worth, however long nobody called."""
    of = limits()
    taken(of, 5.0)

    assert count == taken(of, 5.0 + later_s)


@pytest.mark.parametrize(
    ("per_s", "gateways", "at_once", "in_ten_s"),
    [(100, 1, 100, 100), (100, 4, 25, 25), (100, 64, 1, 1), (10, 64, 1, 1), (1, 1, 1, 1)],
)
def test_gateways_share_a_limit(per_s: int, gateways: int, at_once: int, in_ten_s: int) -> None:
    """Each has an even share, and lets at least one call through at a time."""
    of = limits(per_s, gateways=gateways)

    assert at_once == taken(of, 1.0)
    assert in_ten_s == taken(of, 11.0)


def test_spaces_have_buckets_of_their_own() -> None:
    """One that floods takes nothing from another."""
    of = limits(10)
    taken(of, 1.0, space="loud")

    assert 10 == taken(of, 1.0, space="quiet")


def test_both_limits_hold() -> None:
    """A key has its own share of its space's, and what its own refuses costs the space nothing."""
    of = limits(space=10, key=4)

    assert [4, 4, 2, 0] == [taken(of, 1.0, key=key) for key in ("a", "b", "c", "d")]


def test_without_limits_nothing_is_counted() -> None:
    """There is no standing to tell of."""
    assert limits(0, 0).take("s", "k", 1.0) is None
    assert 500 == taken(limits(0, 0), 1.0)


def test_callers_are_told_how_they_stand() -> None:
    """Of the tighter limit: how many at once, how many are left, and when there is one more."""
    of = limits(space=2, key=0)
    first, second = of.take("s", "k", 1.0), of.take("s", "k", 1.0)
    with pytest.raises(RateLimitedError) as refused:
        of.take("s", "k", 1.1)

    assert Standing(2, 1, 0) == first
    assert Standing(2, 0, 1) == second
    assert Standing(2, 0, 1) == refused.value.standing
    assert 1 == refused.value.retry_s
    assert {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"} == (
        refused.value.standing.headers
    )


@pytest.mark.parametrize(("per_s", "gateways", "retry_s"), [(1, 1, 1), (1, 4, 4), (1000, 1, 1)])
def test_whoever_waits_as_told_is_let_through(per_s: int, gateways: int, retry_s: int) -> None:
    """The pause is whole seconds, and is enough."""
    of = limits(per_s, gateways=gateways)
    taken(of, 1.0, tries=2000)
    with pytest.raises(RateLimitedError) as refused:
        of.take("s", "k", 1.0)

    assert retry_s == refused.value.retry_s
    assert of.take("s", "k", 1.0 + retry_s) is not None


def test_a_call_that_costs_more_than_a_bucket_is_waited_for() -> None:
    """It goes through when the bucket is full, and the calls after it wait."""
    of = limits(10)
    of.take("s", "k", 1.0, cost=25)

    with pytest.raises(RateLimitedError) as refused:
        of.take("s", "k", 2.0)
    assert 1 == refused.value.retry_s
    assert of.take("s", "k", 3.0) is not None
    with pytest.raises(RateLimitedError):
        of.take("s", "k", 3.0, cost=25)


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by who called within the last second; who is limited stays so."""
    monkeypatch.setattr(rate_limit, "BUCKETS_MAX", 3)
    limit = RateLimit(10, 1)
    for whose in "abc":
        limit.fill(whose, 1.0)
    limit.fill("c", 1.0).level = -100.0
    limit.fill("d", 2.0)

    assert {"c", "d"} == set(limit._buckets)
