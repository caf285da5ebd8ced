"""Ray's token, and a Ray that does not start."""

from __future__ import annotations

import errno
import os
import stat
import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors import ray_host
from actors.ray_host import RayMissingError, RayWatch, start_ray, token_file
from unify_grpc.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_token_of_a_directory_stays(tmp_path: Path) -> None:
    """It is made once, for its owner alone."""
    token = token_file(tmp_path).read_text()

    assert 64 == len(token)
    assert token == token_file(tmp_path).read_text()
    assert 0o600 == stat.S_IMODE(token_file(tmp_path).stat().st_mode)


def test_an_empty_token_is_made_anew(tmp_path: Path) -> None:
    """A start that had no room for it keeps no later one from starting."""
    (tmp_path / "ray-token").touch()

    assert 64 == len(token_file(tmp_path).read_text())


def test_a_token_that_does_not_fit_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its name once it is on the disk, and not before."""

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("actors.ray_host.os.fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            token_file(tmp_path)
    assert not (tmp_path / "ray-token").exists()
    assert 64 == len(token_file(tmp_path).read_text())


def test_a_ray_that_does_not_start_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises, with however many lines."""

    def fail(**_: Any) -> None:
        raise RuntimeError("no node came up\nand here is how to look for it\n")

    monkeypatch.setattr("actors.ray_host.ray.init", fail)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(RayMissingError, match=r"^Ray could not be started: no node came up$"):
        start_ray(Settings(), tmp_path)


def no_descriptor(*_: object) -> Any:
    """Fails as everything does that opens a file when there are too many."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Holds what the process would have ended for; no thread that a test began is left."""
    found: list[str] = []
    monkeypatch.setattr(ray_host, "_end_without_ray", found.append)
    monkeypatch.setattr(ray_host, "START_INTERVAL_S", 0.001)
    monkeypatch.setattr(ray_host, "WATCH_INTERVAL_S", 0.001)
    before = set(threading.enumerate())
    yield found
    assert not set(threading.enumerate()) - before


def watching(watch: RayWatch) -> threading.Thread:
    """Returns the thread of a watch."""
    return next(
        each
        for each in threading.enumerate()
        if getattr(getattr(each, "_target", None), "__self__", None) is watch
    )


@pytest.mark.timeout(30)
def test_a_process_without_descriptors_does_not_take_ray_for_dead(
    ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what cannot be read nor what cannot be listed is dead, and the watch goes on."""
    searches, looks = count(), count()
    searched, looked = threading.Event(), threading.Event()

    def search() -> dict[int, str]:
        if next(searches) < 3:
            no_descriptor()
        searched.set()
        return {1: "raylet", 2: "gcs_server"}

    def look(_: int) -> Any:
        if next(looks) > 3:
            looked.set()
        no_descriptor()

    monkeypatch.setattr(ray_host, "_ray_processes", search)
    monkeypatch.setattr(ray_host, "_status_of", look)
    monkeypatch.setattr("actors.ray_host.ray.is_initialized", lambda: True)
    watch = RayWatch()
    thread = watching(watch)
    assert searched.wait(10)
    assert looked.wait(10)
    watch.end()
    thread.join(10)

    assert not ended


@pytest.mark.parametrize("error", [FileNotFoundError, ProcessLookupError])
def test_a_process_that_is_gone_ends_the_service(
    ended: list[str], monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    """Whether its folder is gone or its file says so."""

    def gone(_: int) -> Any:
        raise error

    monkeypatch.setattr(RayWatch, "_watch", lambda _: None)
    monkeypatch.setattr(ray_host, "_status_of", gone)
    watch = RayWatch()
    watch._processes = {1: "raylet", 2: "gcs_server"}
    watch.look()

    assert ["raylet", "gcs_server"] == ended


def test_unreadable_processes_are_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they cannot be read for want of a descriptor, nobody may think that there are none."""
    monkeypatch.setattr(ray_host, "_status_of", no_descriptor)
    with pytest.raises(OSError, match="Too many open files"):
        ray_host._ray_processes()


@pytest.mark.timeout(30)
def test_a_joined_cluster_is_not_searched_for(
    ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is up and none of it is this process's: the watch has nothing to do, and ends."""
    is_up, searched = threading.Event(), threading.Event()

    def search() -> dict[int, str]:
        searched.set()
        return {}

    monkeypatch.setattr(ray_host, "_ray_processes", search)
    monkeypatch.setattr("actors.ray_host.ray.is_initialized", is_up.is_set)
    thread = watching(RayWatch())
    assert searched.wait(10)
    assert thread.is_alive()
    is_up.set()
    thread.join(10)

    assert not thread.is_alive()
    assert not ended
