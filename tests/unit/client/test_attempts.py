"""What is repeated, after how long, and until when."""

from __future__ import annotations

import pytest
from unify_client.attempts import Attempts
from unify_client.errors import ServiceError, service_error
from unify_client.settings import RetryPolicy
from unify_client.status_details import StatusDetails

from tests.unit.client.driving import Clock


def failure(code: str, retry_delay_s: float | None = None) -> ServiceError:
    """Returns the error of a code."""
    return service_error(
        method="Ingest",
        code=code,
        detail="",
        details=StatusDetails(retry_delay_s=retry_delay_s),
        request_id="r1",
    )


def attempts(
    clock: Clock, policy: RetryPolicy | None = None, *, chance: float = 1.0, after: bool = True
) -> Attempts:
    """Returns a fresh account."""
    return Attempts(
        policy or RetryPolicy(),
        timeout_s=10.0,
        after_deadline=after,
        clock=clock,
        chance=lambda: chance,
    )


def test_pauses_double_up_to_their_maximum() -> None:
    """Without luck, a pause is its bound."""
    account = attempts(Clock())
    pauses = [account.pause_s(failure("UNAVAILABLE")) for _ in range(8)]

    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == pytest.approx(pauses)


def test_chance_halves_a_pause_at_most() -> None:
    """Clients that failed together come back apart, and none at once."""
    assert 0.05 == pytest.approx(attempts(Clock(), chance=0.0).pause_s(failure("UNAVAILABLE")))


def test_what_the_service_asks_for_is_a_minimum() -> None:
    """A RetryInfo is waited for, with a pause of our own on top."""
    pause_s = attempts(Clock()).pause_s(failure("RESOURCE_EXHAUSTED", retry_delay_s=2.0))

    assert 2.1 == pytest.approx(pause_s)


@pytest.mark.parametrize(
    "code",
    ["INVALID_ARGUMENT", "UNAUTHENTICATED", "INTERNAL", "RESOURCE_EXHAUSTED", "CANCELLED"],
)
def test_what_no_repetition_helps_is_raised_at_once(code: str) -> None:
    """A full disk, a wrong key or a bad request is the caller's to know."""
    error = failure(code)
    with pytest.raises(ServiceError) as raised:
        attempts(Clock()).pause_s(error)
    assert error is raised.value


def test_a_missed_deadline_is_repeated_for_events_only() -> None:
    """A read that takes too long would take as long again."""
    assert attempts(Clock()).pause_s(failure("DEADLINE_EXCEEDED"))
    with pytest.raises(ServiceError):
        attempts(Clock(), after=False).pause_s(failure("DEADLINE_EXCEEDED"))


def test_the_deadline_counts_from_the_first_failure() -> None:
    """The last pause never ends after the deadline, and attempts are cut to fit."""
    clock = Clock(now_s=1_000.0)
    account = attempts(clock, RetryPolicy(deadline_s=3.0))

    assert 10.0 == account.timeout_s()
    for _ in range(4):
        clock.sleep(account.pause_s(failure("UNAVAILABLE")))
        assert 1_003.0 - clock.now_s == pytest.approx(account.timeout_s())
    assert [0.1, 0.2, 0.4, 0.8] == pytest.approx(clock.pauses_s)
    with pytest.raises(ServiceError):
        account.pause_s(failure("UNAVAILABLE"))


def test_progress_starts_the_account_anew() -> None:
    """A stream that went on for an hour has all its patience at the next failure."""
    clock = Clock()
    account = attempts(clock, RetryPolicy(deadline_s=1.0))
    clock.sleep(account.pause_s(failure("UNAVAILABLE")))
    account.progressed()
    clock.now_s += 3_600.0

    assert 0.1 == pytest.approx(account.pause_s(failure("UNAVAILABLE")))


def test_no_deadline_means_no_repetition() -> None:
    """Whoever wants to repeat by themselves can."""
    with pytest.raises(ServiceError):
        attempts(Clock(), RetryPolicy(deadline_s=0.0)).pause_s(failure("UNAVAILABLE"))
