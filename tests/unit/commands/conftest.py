"""A fake service, and the command line that asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from unify_client.testing import FakeUnify

from actors.command_line import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Unify = Callable[..., Result]


@pytest.fixture
def fake() -> Iterator[FakeUnify]:
    """Serves for one test."""
    with FakeUnify() as service:
        yield service


@pytest.fixture
def unify(fake: FakeUnify) -> Unify:
    """Runs `unify` against the fake service."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        environment = {"UNIFY_ADDRESS": fake.address, "UNIFY_TOKEN": "some_token"}
        return CliRunner().invoke(
            main, arguments, input=stdin, env=environment, catch_exceptions=False
        )

    return run
