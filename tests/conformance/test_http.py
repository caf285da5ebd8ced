"""The conformance cases over the Tracking API, on a real service with real shards."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.expectations import Case, check_case
from tests.conformance.http_backend import HttpBackend
from tests.conformance.runner import every_case
from tests.integration.service import Service
from tests.reference.conformance_rules import rules_document

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with three shards, `--dev`."""
    with Service(tmp_path_factory.mktemp("conformance") / "data", "--shards", "3") as running:
        yield running


@pytest.mark.ray
@every_case(actions=frozenset({"set_limit", "delete_identifier"}), takes_received_at=False)
def test_http_gives_what_the_case_expects(case: Case, service: Service) -> None:
    """What is sent over HTTP is resolved as the rules of identity say."""
    rules: dict[str, Any] = rules_document(case["config"], case["events"])
    with closing(HttpBackend(service.address, service.http_url, rules)) as backend:
        problems = check_case(case, backend)

    assert [] == problems, f"{case['id']}: {'; '.join(problems)}"
