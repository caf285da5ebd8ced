"""Ray as the host of everything: started or joined, and watched.

When Ray's node process or its GCS dies nothing can be repaired from inside (measured on 2.60), so
the service then ends itself with one line and a code that is not 0: starting it again is the
recovery.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import ray
from ray._private import ray_constants
from ray._private.node import Node

from actors import names
from actors.hosting import EXIT_CODE
from unify_grpc.settings import Settings
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

WATCH_INTERVAL_S = 1.0
START_INTERVAL_S = 0.1
"""Until Ray has started."""
RAY_PARTS = ("raylet", "gcs_server")


class RayMissingError(OSError):
    """Ray did not start, or cannot be joined; the text says why in one sentence."""


def start_ray(settings: Settings, directory: Path) -> str:
    """Starts Ray in this process, or joins the cluster that the settings name.

    Args:
        settings: with `ray_address` for a cluster to join.
        directory: the data directory, which keeps the cluster's token.

    Returns:
        The address at which further processes join.

    Raises:
        OSError: Ray does not start, or the token cannot be written.
    """
    # For Ray's own processes, which inherit it. Workers find the code as this process does: a
    # runtime environment would cost two seconds at every start.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_file(directory))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    options: dict[str, Any] = {
        "namespace": names.NAMESPACE,
        "log_to_driver": settings.log_level == "debug",
        "logging_level": "error",
    }
    if settings.ray_address:
        options["address"] = settings.ray_address
    else:
        _stay_on_loopback()
        options |= {
            "include_dashboard": False,
            "num_cpus": max(2, os.cpu_count() or 2),
            "object_store_memory": settings.object_store_bytes,
        }
    try:
        with _only_needed_processes(log_monitor=settings.log_level == "debug"):
            context: Any = ray.init(**options)
    except Exception as error:  # Ray raises anything, `Exception` itself too
        verb = "joined" if settings.ray_address else "started"
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"Ray could not be {verb}: {lines[0]}"
        raise RayMissingError(message) from error
    return str(context.address_info["gcs_address"])


def _stay_on_loopback() -> None:
    """Has a Ray that is started here listen on loopback only.

    Whoever reaches it and has its token runs code. It does so by itself on systems where it makes
    no clusters, which is what this says of ours. A test looks at where the pinned version listens.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for its processes, and gateways
    ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read it already


@contextlib.contextmanager
def _only_needed_processes(*, log_monitor: bool) -> Iterator[None]:
    """Lets Ray start without its autoscaler, its dashboard's server and, perhaps, its log monitor.

    Nothing here uses them, they take 175 MB and a third of the CPU time of a start, and `ray.init`
    has no option for it. A test sees to it that the pinned version of Ray starts none of them.
    """
    unneeded = ["start_monitor", "start_api_server"] + ["start_log_monitor"] * (not log_monitor)
    kept = {name: getattr(Node, name) for name in unneeded}

    def start_nothing(_node: Node, **_options: object) -> None:
        pass

    for name in unneeded:
        setattr(Node, name, start_nothing)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


def token_file(directory: Path) -> Path:
    """Returns the file of a data directory with the cluster's token, made if there is none."""
    token = directory / "ray-token"
    # An empty one is what earlier versions left that had no room for it, or were killed.
    if not token.exists() or not token.stat().st_size:
        unfinished = directory / "ray-token.new"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(token)
    return token


class RayWatch:
    """Ends the process when Ray dies: from Ray's start until somebody says that it may end."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._processes: dict[int, str] = {}
        threading.Thread(target=self._watch, name="ray-watch", daemon=True).start()

    def end(self) -> None:
        """Says that Ray's processes may end from now on."""
        self._is_over.set()

    def look(self) -> None:
        """Ends the process if Ray is dead; for one who failed, perhaps for that reason."""
        self._search()
        for number, name in self._processes.items():
            if not _is_alive(number) and not self._is_over.is_set():
                _end_without_ray(name)

    def _search(self) -> bool:
        """Looks for what is to be watched; returns whether all that is there is known."""
        processes = self._processes
        if len(processes) < len(RAY_PARTS):
            try:
                # Not changed but replaced: two threads may look at a time.
                self._processes = processes | _ray_processes()
            except OSError:  # no file descriptor is left: Ray need not be dead
                return False
        return True

    def _watch(self) -> None:
        pause = START_INTERVAL_S
        while not self._is_over.wait(pause):
            # Asked first: what Ray starts it has started then.
            has_started = ray.is_initialized()
            if self._search() and has_started:
                if not self._processes:  # a cluster that was joined
                    return
                pause = WATCH_INTERVAL_S
            self.look()


def _ray_processes() -> dict[int, str]:
    """Returns this process's children that Ray cannot live without; none if Ray is elsewhere.

    Raises:
        OSError: the processes cannot be listed or read.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # Others come and go, and may be hidden.
            with contextlib.suppress(
                FileNotFoundError, ProcessLookupError, PermissionError, ValueError, IndexError
            ):
                name, parent = _status_of(int(entry.name))[:2]
                if parent == os.getpid() and name in RAY_PARTS:
                    found[int(entry.name)] = name
    return found


def _status_of(number: int) -> tuple[str, int, str]:
    """Returns (name, parent, state) of a process."""
    text = Path(f"/proc/{number}/stat").read_text()
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, parent = rest.split()[:2]
    return name, int(parent), state


def _is_alive(number: int) -> bool:
    try:
        return _status_of(number)[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:  # no file descriptor is left, which says nothing about the process
        return True


def _end_without_ray(name: str) -> NoReturn:
    get_logger("service").error("ray_died", process=name)
    sys.stderr.write(f"unify ends: Ray's {name} died; start it again to recover\n")
    sys.stderr.flush()
    os._exit(EXIT_CODE)
