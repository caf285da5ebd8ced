"""The reference agrees with every conformance case that can be run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cases_on_disk import load_cases
from tests.conformance.expectations import NOT_OURS, check_case, why_not_run
from tests.reference.backend import ReferenceBackend
from tests.reference.conformance_rules import rules_document

CASES = load_cases()
RUN = [case for case in CASES if why_not_run(case) is None]
NOT_RUN = {case["id"]: why_not_run(case) for case in CASES if why_not_run(case) is not None}

#: Listed by hand, so that no case stops being run unnoticed.
KNOWN_NOT_RUN = {
    "seg-del-03-replay-reintroduces",
    "seg-suppress-01",
    "tracardi-02-add-numbers",
    "unomi-05-rewrite-anonymous-browsing",
    "unomi-07-personalization-status-merge",
}


@pytest.mark.parametrize("case", RUN, ids=[case["id"] for case in RUN])
def test_the_reference_gives_what_the_case_expects(case: dict[str, Any]) -> None:
    """Every expectation of the case that has a check holds after its events were sent in order."""
    backend = ReferenceBackend(rules_document(case["config"], case["events"]))

    assert [] == check_case(case, backend)


def test_the_cases_that_are_not_run_are_these() -> None:
    """A case is left out only for an action that is not built or because it says so itself."""
    assert set(NOT_RUN) == KNOWN_NOT_RUN


@pytest.mark.parametrize("case_id", sorted(NOT_RUN))
def test_a_case_that_cannot_be_run_is_reported(case_id: str) -> None:
    """A case that was not run shows up as skipped, with its reason, and never as passed."""
    pytest.skip(f"not run: {NOT_RUN[case_id]}")


def test_every_case_id_is_unique() -> None:
    """An id names one case over all files."""
    assert len({case["id"] for case in CASES}) == len(CASES)


def test_a_fact_that_is_not_ours_belongs_to_a_case() -> None:
    """An exclusion names a case that exists, so that none outlives its case."""
    assert {case_id for case_id, _ in NOT_OURS} <= {case["id"] for case in CASES}
