"""Machines to test; what must hold for every shard is checked after every test of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.machines.one_merge import OneMerge
from tests.unit.machines.one_shard import OneShard

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shard() -> Iterator[OneShard]:
    """Shard 0 of three, empty; its invariants hold afterwards."""
    made = OneShard()
    yield made
    made.check()


@pytest.fixture
def merge() -> OneMerge:
    """A merge machine over three shards, empty, with rules that drop nothing."""
    return OneMerge()
