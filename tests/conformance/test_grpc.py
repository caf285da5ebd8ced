"""The conformance cases over gRPC, on a real service with real shards."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.expectations import Case, check_case
from tests.conformance.grpc_backend import GrpcBackend, why_not_sent
from tests.conformance.runner import NOT_RUN_PREFIX, every_case
from tests.integration.service import Service
from tests.reference.conformance_rules import rules_document

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with three shards, `--dev`."""
    with Service(tmp_path_factory.mktemp("conformance") / "data", "--shards", "3") as running:
        yield running


@pytest.mark.ray
@every_case(actions=frozenset({"set_limit", "delete_identifier"}), takes_received_at=False)
def test_a_service_gives_what_the_case_expects(case: Case, service: Service) -> None:
    """A space of a running service resolves the case as the rules of identity say."""
    reason = why_not_sent(case)
    if reason is not None:
        pytest.skip(NOT_RUN_PREFIX + reason)
    rules: dict[str, Any] = rules_document(case["config"], case["events"])
    with closing(GrpcBackend(service.address, rules)) as backend:
        problems = check_case(case, backend)

    assert [] == problems, f"{case['id']}: {'; '.join(problems)}"
