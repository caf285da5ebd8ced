"""kill -9 of every part, while callers write: nothing acknowledged is lost, doubled or torn.

`tests/chaos` says what is written, killed and compared; `make chaos` does more of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.episode import Episode
from tests.chaos.kills import FATAL, REPAIRED, Target, plan
from tests.chaos.victims import victims_of
from tests.integration.service import Service
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("targets", "seed", "kills"),
    [
        pytest.param(REPAIRED, 11, 14, id="what is started again by the service"),
        pytest.param(FATAL, 12, 8, id="what ends the service"),
    ],
)
def test_no_kill_breaks_a_promise(
    targets: tuple[Target, ...], seed: int, kills: int, tmp_path: Path
) -> None:
    """Whatever is killed at whatever moment, all is served again, and at the end the ledger of
    the callers, the reference, and all that is stored agree.
    """
    report = Episode(tmp_path, seed, plan(seed, kills, targets)).run()

    assert [] == report.findings, f"{report.text()}\nleft for a look: {tmp_path}"
    assert kills <= len(report.killed)
    for target in targets:
        assert 2 <= sum(each.startswith(target) for each in report.killed)


@pytest.mark.parametrize("part", [Target.RAYLET, Target.GCS])
def test_a_service_that_starts_ends_itself_when_ray_dies(part: Target, tmp_path: Path) -> None:
    """Before the service is up as well as after: one line, a code, and the next start serves."""
    service = Service(tmp_path / "data", "--shards", "2")
    service.launch()
    eventually(lambda: bool(victims_of(service.pid, part)), f"{part} is there")
    assert victims_of(service.pid, part)[0].kill()

    assert not service.await_ready()
    assert 70 == service.wait_for_exit()
    name = "raylet" if part is Target.RAYLET else "gcs_server"
    assert f"unify ends: Ray's {name} died; start it again to recover" in service.log()
    with service:
        assert service.address
