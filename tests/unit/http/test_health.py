"""What those ask who watch the service."""

from __future__ import annotations

import pytest

from tests.unit.http.tracking_edge import TrackingEdge


async def test_health_needs_no_key() -> None:
    """Whoever watches the service may ask whether it lives, and takes calls."""
    edge = TrackingEdge()

    health, ready = [await edge.client.get(path) for path in ("/healthz", "/readyz")]

    assert (200, {"status": "ok"}) == (health.status_code, health.json())
    assert (200, {"ready": True}) == (ready.status_code, ready.json())


async def test_a_gateway_that_lets_nobody_in_is_not_ready() -> None:
    """It lives, but has not heard for a while who may call."""
    edge = TrackingEdge()
    edge.directory.is_current = False

    health, ready, metrics = [
        await edge.client.get(path) for path in ("/healthz", "/readyz", "/metrics")
    ]

    assert 200 == health.status_code
    assert (503, {"ready": False}) == (ready.status_code, ready.json())
    assert "unify_ready 0\n" in metrics.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_they_are_asked_by_get(path: str) -> None:
    """Or by HEAD; anything else changes nothing either."""
    edge = TrackingEdge()

    assert 200 == (await edge.client.head(path)).status_code
    assert 405 == (await edge.client.post(path)).status_code


async def test_metrics_are_prometheus_text() -> None:
    """Each has its kind and a sentence, and each line ends."""
    answer = await TrackingEdge().client.get("/metrics")

    lines = answer.text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text.endswith("\n")
    assert len(names) == len(set(names)) == sum(line.startswith("# HELP ") for line in lines)
    assert all(line.split("{")[0].split()[0] in names for line in lines if line[0] != "#")
