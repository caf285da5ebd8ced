"""Who may call which method: every method says so, or no gateway starts."""

from __future__ import annotations

import pytest
from google.protobuf.internal import api_implementation

from unify_grpc.service.calls import check_scopes
from unify_grpc.service.server import SERVICES


def test_every_method_has_a_scope() -> None:
    """None is open because somebody forgot to close it."""
    methods = [f"{service.name}/{each.name}" for service in SERVICES for each in service.methods]

    check_scopes(methods)

    assert len(methods) > len(SERVICES)


def test_a_method_without_a_scope_starts_no_gateway() -> None:
    """A new method is closed until somebody says who may call it."""
    with pytest.raises(AssertionError, match="NewService/NewMethod"):
        check_scopes(["NewService/NewMethod"])


def test_messages_are_read_by_compiled_code() -> None:
    """The reader in plain Python has no bound on how deep a message nests."""
    assert "upb" == api_implementation.Type()
