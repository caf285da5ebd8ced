"""Stores to plant damage in; they are sound when a test gets them."""

from __future__ import annotations

import pytest

from tests.unit.verification.stored import Stores, sound_stores


@pytest.fixture
def stores() -> Stores:
    """Stores of every kind of row, in which nothing is found."""
    made = sound_stores()
    assert made.verify().findings == []
    return made
