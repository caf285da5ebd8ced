"""An empty store on the disk for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.storage.store_folder import StoreFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StoreFolder]:
    """A directory with an empty store."""
    made = StoreFolder(tmp_path / "store")
    made.create()
    yield made
    made.end_all()
