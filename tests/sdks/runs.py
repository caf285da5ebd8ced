"""Runs of SDKs: each a process of its own, which goes through all troubles at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.integration.service import descendants
from tests.sdks.installed import BUNDLES, PACKAGES, ROOT, left_out, missing
from tests.sdks.own_space import OwnSpace
from tests.sdks.troubled_proxy import Trouble, TroubledProxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

    from tests.integration.service import Service

GIVE_UP_S: Final = 90.0
"""After which a process is ended, whatever it is at."""
STILL_S_MAX: Final = 60.0
"""That the service stands still, if not every SDK has been refused sooner."""
CALLS: Final = 7
"""That a journey makes."""
STILL: Final = Trouble.STILL
"""The whole service has this trouble, or nobody."""
_BOTH: Final = frozenset({429, 503})
_LIMITED: Final = frozenset({429})
_NODE: Final = ("node", str(Path(__file__).with_name("node_journey.cjs")))
_PYTHON: Final = (sys.executable, "-m", "tests.sdks.python_journey")


class Sdk(NamedTuple):
    """One SDK, and how its journey is started."""

    kind: str
    command: tuple[str, ...]
    """Followed by a host and a write key for each trouble."""
    refused_s: float = 3.0
    """How long its space is over the limit: longer than a busy machine takes to send on."""
    heeds: frozenset[int] = frozenset()
    """The statuses of which it reads `Retry-After`; after others it comes back as it likes."""


SDKS: Final = {
    "segment-analytics-python": Sdk("python", (*_PYTHON, "segment"), heeds=_BOTH),
    "rudder-sdk-python": Sdk("python", (*_PYTHON, "rudder")),
    "@segment/analytics-node": Sdk("node", (*_NODE, "segment"), heeds=_LIMITED),
    "@rudderstack/rudder-sdk-node": Sdk("node", (*_NODE, "rudder"), heeds=_BOTH),
    "analytics-node": Sdk(
        "node",
        (*_NODE, "classic"),
        # It reads no `Retry-After`, tries four times within one second and a half, and gives up.
        refused_s=0.9,
    ),
    "@segment/analytics-next": Sdk(
        "browser",
        (sys.executable, "-m", "tests.sdks.browser_journey", str(BUNDLES)),
        heeds=_LIMITED,
    ),
}


class Ended(NamedTuple):
    """What a process left behind."""

    exit_code: int
    """Negative: it took too long, and was ended."""
    said: str
    """On its standard output."""
    complaints: str
    """On its standard error."""


@dataclass
class Run:
    """One journey of an SDK, through one trouble."""

    sdk: Sdk
    space: OwnSpace
    proxy: TroubledProxy
    visitor: str = ""
    """What a browser calls who is there, while that person is not known."""
    ended: Ended | None = None
    """None: it has not been made."""


def run_of(sdk: Sdk, trouble: Trouble, service: Service, proxies: ExitStack) -> Run:
    """Returns a journey to be made in a space of its own; its proxy ends with `proxies`."""
    space = OwnSpace(service)
    use_up = partial(space.use_up, sdk.refused_s)
    proxy = TroubledProxy(service.http_url, trouble, use_up)
    return Run(sdk, space, proxies.enter_context(proxy))


def make(runs: list[Run]) -> None:
    """Makes journeys of one SDK by one process, and waits for its end."""
    sdk = runs[0].sdk
    where = [each for run in runs for each in (run.proxy.url, run.space.write_key)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "clients/python")])
    process = subprocess.Popen(
        [*sdk.command, *where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "NODE_PATH": str(PACKAGES)},
    )
    watchdog = threading.Timer(GIVE_UP_S, _end, [process.pid])
    watchdog.start()
    with process:
        assert process.stdout is not None
        if sdk.kind == "browser" and (line := process.stdout.readline()):
            for run, visitor in zip(runs, json.loads(line), strict=True):
                run.visitor = visitor
                # What a page could not send it sends again for as long as it is open.
                run.proxy.await_acknowledged(CALLS, GIVE_UP_S)
        said, complaints = process.communicate()
    watchdog.cancel()
    for run in runs:
        run.ended = Ended(process.returncode, said, complaints)


def _end(pid: int) -> None:
    """Ends a process that takes too long, and all that it has started."""
    for each in (*descendants(pid), pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


AllRuns = dict[tuple[str, Trouble], Run]
"""By the name of the SDK, and what went wrong."""


def make_all(service: Service, proxies: ExitStack, names: Iterable[str]) -> AllRuns:
    """Makes all journeys of some SDKs, and returns them.

    All at once, but for those that need the whole service to stand still, which come last.
    """
    made = {
        (name, trouble): run_of(SDKS[name], trouble, service, proxies)
        for name in names
        for trouble in Trouble
    }
    first = [
        [run for (name, trouble), run in made.items() if name == each and trouble is not STILL]
        for each in names
    ]
    with _made(first):
        pass
    last = [run for (_, trouble), run in made.items() if trouble is STILL]
    with _standing_still(service), _made([[run] for run in last]):
        until_s = time.monotonic() + STILL_S_MAX
        for run in last:
            run.proxy.await_refusal(until_s - time.monotonic())
        _continue(service)
    return made


@contextmanager
def _made(runs: list[list[Run]]) -> Iterator[None]:
    """Has journeys made, a process for each list, and waits for their end."""
    threads = [threading.Thread(target=make, args=[each]) for each in runs]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


@contextmanager
def _standing_still(service: Service) -> Iterator[None]:
    """Stops the shards: what is sent is neither stored nor refused; they go on in the end."""
    for each in service.actor_pids("ShardActor"):
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        _continue(service)


def _continue(service: Service) -> None:
    """Has the shards go on; whatever waited for them is stored."""
    for each in service.actor_pids("ShardActor"):
        os.kill(each, signal.SIGCONT)


def runnable() -> list[str]:
    """Returns the SDKs that can be run here and were not left out."""
    without = left_out()
    return [name for name, sdk in SDKS.items() if sdk.kind not in without and not missing(sdk.kind)]
