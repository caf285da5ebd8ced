"""The decisions of repeating: whether, after how long, and with how much time left."""

from __future__ import annotations

from collections.abc import Callable

from unify_client.errors import ServiceError
from unify_client.settings import RetryPolicy

# A pause is between this part of its bound and the whole, by chance: clients that failed together
# do not come back together, and none comes back at once.
_PAUSE_PART_MIN = 0.5


class Attempts:
    """Keeps the account of one request's attempts. Has no clock and no chance of its own."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timeout_s: float,
        after_deadline: bool,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """Starts the account.

        Args:
            policy: How patient the caller is.
            timeout_s: How long one attempt may take.
            after_deadline: Whether DEADLINE_EXCEEDED is a reason to repeat.
            clock: Seconds that never go back.
            chance: A number from 0 to 1.
        """
        self._policy = policy
        self._timeout_s = timeout_s
        self._after_deadline = after_deadline
        self._clock = clock
        self._chance = chance
        self._failures_count = 0
        self._ends_at = 0.0

    def progressed(self) -> None:
        """Starts the account anew: what comes next is the first attempt at something else."""
        self._failures_count = 0

    def timeout_s(self) -> float:
        """Returns how long the next attempt may take: the first always gets its full time."""
        if not self._failures_count:
            return self._timeout_s
        return min(self._timeout_s, max(self._ends_at - self._clock(), 0.001))

    def pause_s(self, error: ServiceError) -> float:
        """Returns how long to wait before the request is sent again.

        Raises the error itself where a repetition does not help or would come too late.
        """
        if not self._repeatable(error):
            raise error
        bound_s = min(
            self._policy.pause_max_s,
            # Past 30 doublings every bound is above the maximum.
            self._policy.pause_first_s * 2.0 ** min(self._failures_count, 30),
        )
        pause_s = bound_s * (_PAUSE_PART_MIN + (1 - _PAUSE_PART_MIN) * self._chance())
        # What the service asks for is a minimum; the chance on top of it still spreads callers.
        pause_s += error.retry_delay_s or 0.0
        now = self._clock()
        if not self._failures_count:
            self._ends_at = now + self._policy.deadline_s
        if now + pause_s >= self._ends_at:
            raise error
        self._failures_count += 1
        return pause_s

    def _repeatable(self, error: ServiceError) -> bool:
        if error.code == "UNAVAILABLE":
            return True
        if error.code == "RESOURCE_EXHAUSTED":
            # Without the request to come back it is a full disk or too large a message.
            return error.retry_delay_s is not None
        return error.code == "DEADLINE_EXCEEDED" and self._after_deadline
