"""Runs every conformance case on a tier; a tier supplies a backend and says what it can do.

A tier's module is three lines long:

    @every_case(actions=frozenset({"set_limit", "delete_identifier"}), takes_received_at=True)
    def test_the_tier_gives_what_the_case_expects(case: Case) -> None:
        assert_case(case, TierBackend)

A case that a tier cannot run is skipped with `not run: <why>`, and `tests/conftest.py` lists all of
these at the end of a run, so that none is left out unnoticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.cases_on_disk import load_cases
from tests.conformance.expectations import Case, check_case, why_not_run
from tests.reference.conformance_rules import rules_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.expectations import ConformanceBackend

CASES = load_cases()
NOT_RUN_PREFIX = "not run: "
"""What the reason of such a skip begins with."""


def every_case(*, actions: frozenset[str], takes_received_at: bool) -> pytest.MarkDecorator:
    """Parametrises a test over all cases, as its argument `case`.

    Args:
        actions: what a case may ask for besides sending events.
        takes_received_at: whether a case's moments of receipt are the tier's.
    """
    parameters = []
    for case in CASES:
        reason = why_not_run(case, actions=actions, takes_received_at=takes_received_at)
        marks = () if reason is None else (pytest.mark.skip(reason=NOT_RUN_PREFIX + reason),)
        parameters.append(pytest.param(case, id=case["id"], marks=marks))
    return pytest.mark.parametrize("case", parameters)


def assert_case(case: Case, make_backend: Callable[[dict[str, Any]], ConformanceBackend]) -> None:
    """Sends a case's events to a new backend and asserts everything the case expects.

    Args:
        case: one that `every_case` does not leave out.
        make_backend: takes the case's rules document; the space it makes is empty.
    """
    backend = make_backend(rules_document(case["config"], case["events"]))
    problems = check_case(case, backend)

    assert [] == problems, f"{case['id']}: {'; '.join(problems)}"
