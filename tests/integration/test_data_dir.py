"""The directory that holds all stores of a deployment."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from actors.data_dir import DEPLOYMENT_FILE, FORMAT, open_data_dir
from unify_grpc.storage.errors import StoreRefusedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One that was made, and is not held any more."""
    made = tmp_path / "data"
    _, descriptor = open_data_dir(made, 3)
    os.close(descriptor)
    return made


def test_a_directory_remembers_its_shards(directory: Path) -> None:
    """Without a number it has the recorded one; another one is refused."""
    deployment, descriptor = open_data_dir(directory, 0)
    os.close(descriptor)

    assert 3 == deployment.shard_count
    with pytest.raises(StoreRefusedError, match="made for 3 shards, not 4"):
        open_data_dir(directory, 4)


@pytest.mark.parametrize(
    ("format_", "sentence"),
    [(FORMAT - 1, "serve it with that version"), (FORMAT + 1, "made by a newer version")],
)
def test_the_directory_of_another_version_is_refused(
    directory: Path, format_: int, sentence: str
) -> None:
    """Before any actor is started, in a sentence that says what can be done."""
    path = directory / DEPLOYMENT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": format_}))

    with pytest.raises(StoreRefusedError, match=sentence):
        open_data_dir(directory, 0)
