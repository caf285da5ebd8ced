"""The words of the client are the words of the protos."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from unify_client.vocabulary import WIRE_ENUMS, Outcome, number_of, reader_of


@pytest.mark.parametrize(("words", "wire", "prefix"), WIRE_ENUMS)
def test_every_value_of_the_protos_has_its_word(
    words: type[StrEnum], wire: Any, prefix: str
) -> None:
    """A value added to the protos has to be added here."""
    assert {value.removeprefix(prefix) for value in wire.keys()} - {"UNSPECIFIED"} == {  # noqa: SIM118  no mapping
        word.value for word in words
    } - {"UNRECOGNIZED"}


def test_numbers_are_read_as_words() -> None:
    """0 is None, a known number its word, and another one UNRECOGNIZED."""
    read = reader_of(Outcome)

    assert (None, Outcome.MERGED, Outcome.UNRECOGNIZED) == (
        read(0),
        read(number_of(Outcome.MERGED)),
        read(77),
    )
    assert "MERGED" == Outcome.MERGED
