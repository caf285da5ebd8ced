"""The machines on three shards in one thread give what every conformance case expects."""

from __future__ import annotations

from typing import Any

from tests.conformance.expectations import Case
from tests.conformance.runner import CASES, assert_case, every_case
from tests.engine.in_process import InProcessService
from tests.reference.conformance_rules import with_limit

SHARDS = 3
#: Of the cases on disk; lower means that files or lines were lost.
CASES_MIN = 280


class InProcessBackend(InProcessService):
    """The service in one thread, as a backend of the cases."""

    def __init__(self, rules: dict[str, Any]) -> None:
        super().__init__(rules, shards=SHARDS)
        self._rules = rules

    def set_limit(self, type_: str, limit: int | None) -> None:
        """Changes one type's limit, counted for ever, for later events."""
        self._rules = with_limit(self._rules, type_, limit)
        self.set_rules(self._rules)


@every_case(actions=frozenset({"set_limit", "delete_identifier"}), takes_received_at=True)
def test_in_process_gives_what_the_case_expects(case: Case) -> None:
    """Every expectation of the case that has a check holds after its events were sent in order."""
    assert_case(case, InProcessBackend)


def test_no_case_got_lost() -> None:
    """The cases of Segment, of peers, generated ones and our own are all found."""
    assert len(CASES) >= CASES_MIN
