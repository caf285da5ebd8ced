"""How commands are told whom to trust, and what to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from actors.command_line import main
from actors.commands.encryption import Encryption
from tests.unit.service.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = Authority()


def test_without_options_nothing_is_encrypted() -> None:
    """As services on loopback are served."""
    assert Encryption().config() is False
    assert Encryption(tls=True).config() is True


def test_a_file_says_that_it_is_encrypted(tmp_path: Path) -> None:
    """Whom to trust, and what to show, are read when a command runs."""
    issued, (ca, chain, key) = AUTHORITY.issue(), (tmp_path / name for name in "abc")
    ca.write_bytes(AUTHORITY.pem)
    issued.write(chain, key)

    config = Encryption(tls_ca=ca, client_cert=chain, client_key=key).config()

    assert not isinstance(config, bool)
    assert (AUTHORITY.pem, issued.chain, issued.key) == (
        config.root_certificates,
        config.certificate_chain,
        config.private_key,
    )


@pytest.mark.parametrize("command", [["space", "list"], ["verify"], ["tail"], ["backup", "there"]])
def test_every_command_that_calls_takes_them(command: list[str], tmp_path: Path) -> None:
    """A file that is not there is a mistake in the command line."""
    gone = str(tmp_path / "gone.pem")

    result = CliRunner().invoke(main, [*command, "--token", "t", "--tls-ca", gone])

    assert 2 == result.exit_code
    assert "--tls-ca" in result.output
    assert "does not exist" in result.output
