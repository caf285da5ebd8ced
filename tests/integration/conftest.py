"""One service for all tests of this tier that do not break it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with three shards, `--dev`."""
    with Service(tmp_path_factory.mktemp("service") / "data", "--shards", "3") as running:
        yield running
