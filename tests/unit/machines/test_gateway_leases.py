"""Which gateways a change has to wait for."""

from __future__ import annotations

from unify_grpc.machines.gateway_leases import LEASE_S, GatewayLeases

STARTED_S = 1000.0
SETTLED_S = STARTED_S + LEASE_S


def test_a_gateway_that_holds_less_is_waited_for() -> None:
    """Each live one counts, until it says that it holds the revision."""
    leases = GatewayLeases(STARTED_S)
    leases.renewed("a", 3, SETTLED_S)
    leases.renewed("b", 2, SETTLED_S)
    assert 1 == leases.count_behind(3, SETTLED_S)

    leases.renewed("b", 3, SETTLED_S + 1)
    assert 0 == leases.count_behind(3, SETTLED_S + 1)
    assert 2 == leases.count_behind(4, SETTLED_S + 1)


def test_a_gateway_that_is_not_heard_of_is_not_waited_for() -> None:
    """After its lease it lets nobody in by itself."""
    leases = GatewayLeases(STARTED_S)
    leases.renewed("a", 3, SETTLED_S)

    assert 1 == leases.count_behind(4, SETTLED_S + LEASE_S)
    assert 0 == leases.count_behind(4, SETTLED_S + LEASE_S + 0.1)


def test_a_gateway_that_left_is_not_waited_for() -> None:
    """It said itself that it serves no calls any more."""
    leases = GatewayLeases(STARTED_S)
    leases.renewed("a", 3, SETTLED_S)
    leases.left("a")
    leases.left("never seen")

    assert 0 == leases.count_behind(4, SETTLED_S)


def test_gateways_of_an_earlier_life_are_waited_for() -> None:
    """Control that has just started cannot know who else asked; after a lease it can."""
    leases = GatewayLeases(STARTED_S)
    leases.renewed("a", 3, STARTED_S + 1)

    assert 1 == leases.count_behind(3, STARTED_S + 1)
    assert 0 == leases.count_behind(3, SETTLED_S)


def test_a_service_that_has_just_started_has_no_other_gateways() -> None:
    """Then there is nothing to wait for."""
    leases = GatewayLeases(STARTED_S)
    leases.know_all()

    assert 0 == leases.count_behind(1, STARTED_S)
