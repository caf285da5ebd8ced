"""The admin token of a new deployment: shown to somebody before it opens anything."""

from __future__ import annotations

from typing import cast

import pytest

from actors.cluster import Cluster
from tests.unit.machines.one_control import OneControl
from unify_grpc.machines.control_records import encode, hash_credential
from unify_grpc.settings import Settings

GIVEN = "a token that was given"


class Start(Cluster):
    """A start of the service, from where control is up; without Ray."""

    def __init__(self, control: OneControl, admin_token: str = "") -> None:
        self._settings = Settings(admin_token=admin_token)
        self._control = control
        self.shown: list[str] = []
        self._show_admin_token = self.shown.append
        self.is_cut_short = False

    def found(self) -> None:
        """Does what a start does once all actors are up."""
        self._found()

    def _ask_control(self, method: str, *args: object) -> bytes:
        if method == "has_admin_token":
            return encode(self._control.machine.has_admin_token())
        assert method == "found"
        if self.is_cut_short:
            raise KeyboardInterrupt
        signing_key, token, now_us = cast("tuple[bytes, str, int]", args)
        self._control.execute(self._control.machine.found(signing_key, token, now_us))
        return encode(None)


def test_a_start_that_is_cut_short_keeps_no_token_to_itself() -> None:
    """What holds was shown; where it does not hold yet, the next start shows another one."""
    control = OneControl()
    first, second, third = Start(control), Start(control), Start(control)
    first.is_cut_short = True
    with pytest.raises(KeyboardInterrupt):
        first.found()
    assert not control.machine.has_admin_token()
    assert 1 == len(first.shown)

    second.found()
    third.found()
    (token,) = second.shown
    assert hash_credential(token) in control.machine.credentials
    assert [] == third.shown


def test_a_token_that_was_given_is_not_shown() -> None:
    """Whoever gave it knows it, and no other one is made."""
    control = OneControl()
    start = Start(control, GIVEN)
    start.found()

    assert [] == start.shown
    assert [hash_credential(GIVEN)] == list(control.machine.credentials)
