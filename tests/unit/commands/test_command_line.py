"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from actors.command_line import main

SLOW = ("grpc", "google.protobuf", "ray", "rich", "unify_client", "structlog", "asyncio")


def test_help_imports_nothing_slow() -> None:
    """`unify --help` answers before a person notices: the client waits until a command runs."""
    program = (
        "import sys, actors.command_line\n"
        f"print([name for name in {SLOW!r} if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert "[]" == run.stdout.strip()


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        ((), ("demo", "explain", "key", "profile", "rules", "serve", "space", "tail", "token")),
        (("space",), ("create", "list", "show")),
        (("rules",), ("copy", "set", "show")),
        (("key",), ("create", "list", "revoke")),
        (("token",), ("create", "list", "revoke")),
    ],
)
def test_every_command_is_listed(group: tuple[str, ...], commands: tuple[str, ...]) -> None:
    """Help names what there is, with a sentence for each."""
    text = CliRunner().invoke(main, [*group, "--help"]).stdout
    listed = text.split("Commands:\n")[1].splitlines()

    assert set(commands) <= {line.split()[0] for line in listed}
    assert all(len(line.split()) > 2 for line in listed)


def test_a_service_is_told_its_gateways() -> None:
    """`serve` takes `--gateways`, and refuses what is no number."""
    wrong = CliRunner().invoke(main, ["serve", "--gateways", "many"])

    assert 2 == wrong.exit_code
    assert "--gateways" in wrong.stderr
