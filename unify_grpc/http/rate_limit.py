"""How many calls a space and a key may make: token buckets, with the time passed in.

A bucket holds what may be used at once, a second's worth, and fills up at its rate. A limit is of
the whole service: each of its gateways has an even share, at least one call at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from unify_grpc.http.refusals import HttpError

if TYPE_CHECKING:
    from collections.abc import Hashable

BUCKETS_MAX: Final = 4096
"""Kept, per limit, before those that are full again are dropped: a new one is full, too."""


class RateLimitedError(HttpError):
    """The space or the key has made too many calls; try again after a pause."""

    status = 429
    code = "rate_limit_error"

    def __init__(self, standing: Standing) -> None:
        super().__init__()
        self.standing = standing
        self.retry_s = standing.retry_s


class Standing(NamedTuple):
    """How a caller stands to its tightest limit after a call."""

    limit: int
    """Calls at once, and a second, at this gateway."""
    remaining: int
    """Of them, how many are left."""
    retry_s: int
    """Whole seconds until there is one more; 0 if there is one now."""

    @property
    def headers(self) -> dict[str, str]:
        """As callers are told."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.retry_s),
        }


@dataclass(slots=True)
class _Bucket:
    """What is left for one caller."""

    level: float
    """Below 0 after a call that cost more than there was."""
    filled_s: float
    """When that was so."""


class RateLimit:
    """One limit, with a bucket for each of whom it is counted for."""

    def __init__(self, per_s: int, gateways: int) -> None:
        """Takes the limit of the whole service and how many gateways share it."""
        assert per_s > 0, "no limit is no `RateLimit`"
        self.rate = per_s / gateways
        """Per second, at this gateway."""
        self.burst = max(1.0, self.rate)
        """At once."""
        self._buckets: dict[Hashable, _Bucket] = {}

    def fill(self, whose: Hashable, now_s: float) -> _Bucket:
        """Returns the bucket of one, filled up to now; times of one gateway never go back."""
        bucket = self._buckets.get(whose)
        if bucket is None:
            self._make_room(now_s)
            bucket = self._buckets[whose] = _Bucket(self.burst, now_s)
        bucket.level = self._level(bucket, now_s)
        bucket.filled_s = now_s
        return bucket

    def standing(self, bucket: _Bucket, cost: float) -> Standing:
        """Returns how its owner stands, for whom the next call costs as much as this."""
        missing = min(cost, self.burst) - bucket.level
        retry_s = max(0, math.ceil(missing / self.rate - _EPSILON))
        return Standing(int(self.burst), max(0, int(bucket.level + _EPSILON)), retry_s)

    def _level(self, bucket: _Bucket, now_s: float) -> float:
        return min(self.burst, bucket.level + (now_s - bucket.filled_s) * self.rate)

    def _make_room(self, now_s: float) -> None:
        if len(self._buckets) < BUCKETS_MAX:
            return
        self._buckets = {
            whose: bucket
            for whose, bucket in self._buckets.items()
            if self._level(bucket, now_s) < self.burst
        }


_EPSILON: Final = 1e-9
"""What adding up parts of seconds may be wrong by."""


class RateLimits:
    """The limits of one kind of calls: of each space, and of each of its keys."""

    def __init__(self, *, space_per_s: int, key_per_s: int, gateways: int) -> None:
        """Takes both limits of the whole service; 0: none."""
        self._space = RateLimit(space_per_s, gateways) if space_per_s else None
        self._key = RateLimit(key_per_s, gateways) if key_per_s else None

    def take(
        self, space: Hashable, key: Hashable, now_s: float, cost: float = 1.0
    ) -> Standing | None:
        """Lets a call through, and counts it; None: nothing is limited.

        What is refused costs nothing. A call that costs more than a bucket holds is let through
        when it is full, and waited for by the next.

        Args:
            space: whose limit it counts for.
            key: the same of the key or token.
            now_s: by a clock that never goes back.
            cost: of the call, 1 or more.

        Raises:
            RateLimitedError: there is nothing left for this space or key.
        """
        filled = self._check(space, key, now_s, cost)
        tightest: Standing | None = None
        for limit, bucket in filled:
            bucket.level -= cost
            standing = limit.standing(bucket, 1.0)
            if tightest is None or standing.remaining < tightest.remaining:
                tightest = standing
        return tightest

    def check(self, space: Hashable, key: Hashable, now_s: float) -> None:
        """Raises `RateLimitedError` where even a call that costs 1 would be refused."""
        self._check(space, key, now_s, 1.0)

    def _check(
        self, space: Hashable, key: Hashable, now_s: float, cost: float
    ) -> list[tuple[RateLimit, _Bucket]]:
        filled = [
            (limit, limit.fill(whose, now_s))
            for limit, whose in ((self._space, space), (self._key, key))
            if limit is not None
        ]
        tightest: Standing | None = None
        for limit, bucket in filled:
            standing = limit.standing(bucket, cost)
            if standing.retry_s and (tightest is None or standing.retry_s > tightest.retry_s):
                tightest = standing
        if tightest is not None:
            raise RateLimitedError(tightest)
        return filled
