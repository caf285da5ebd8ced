"""Ray's token, and a Ray that does not start."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from actors.ray_host import RayMissingError, start_ray, token_file
from unify_grpc.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


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
