"""kill -9 of every part, while callers write: nothing acknowledged is lost, doubled or torn.

`tests/chaos` says what is written, killed and compared; `make chaos` does more of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.episode import Episode
from tests.chaos.kills import Target, plan
from tests.chaos.victims import victims_of
from tests.integration.service import Service
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

_KILLS = 20
_SEED = 1120
"""Of a plan that also kills the first start, every kind of part as it starts, and two starts."""


def test_no_kill_breaks_a_promise(tmp_path: Path) -> None:
    """Whatever is killed at whatever moment, all is served again, and at the end the ledger of
    the callers, the reference, and all that is stored agree.
    """
    report = Episode(tmp_path, _SEED, plan(_SEED, _KILLS)).run()

    assert [] == report.findings, f"{report.text()}\nleft for a look: {tmp_path}"
    assert len(report.killed) >= _KILLS
    for target in Target:
        assert sum(each.startswith(target) for each in report.killed) >= 2


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
    assert "Traceback" not in service.log()
    with service:
        assert service.address
