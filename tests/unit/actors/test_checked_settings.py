"""What a service may be started with: who can reach it, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from actors.gateway_process import GatewayOrder, unpack_order
from actors.launch import LaunchRefusedError, check_settings
from tests.unit.service.authority import Authority
from unify_grpc.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

ISSUED = Authority().issue()
ANYWHERE = "0.0.0.0"  # noqa: S104 - what is refused


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Settings that name a certificate and its key."""
    made = {"tls_cert": str(tmp_path / "chain.pem"), "tls_key": str(tmp_path / "key.pem")}
    ISSUED.write(tmp_path / "chain.pem", tmp_path / "key.pem")
    return made


def test_beyond_loopback_it_is_encrypted_or_said_aloud(files: dict[str, Any]) -> None:
    """Nobody serves keys and people's data in the clear without having said so."""
    with pytest.raises(LaunchRefusedError, match="--tls-cert and --tls-key, or --plaintext"):
        check_settings(Settings(host=ANYWHERE))

    check_settings(Settings(host=ANYWHERE, **files))
    check_settings(Settings(host=ANYWHERE, plaintext=True))
    check_settings(Settings())


def test_well_known_keys_stay_on_loopback(files: dict[str, Any]) -> None:
    """Encrypted or not: everybody knows them."""
    with pytest.raises(LaunchRefusedError, match="--dev has well-known keys"):
        check_settings(Settings(host=ANYWHERE, dev=True, **files))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tls_cert": "a"}, "tls_cert and tls_key go together"),
        ({"tls_key": "a"}, "tls_cert and tls_key go together"),
        ({"tls_client_ca": "a"}, "tls_client_ca needs tls_cert"),
        ({"tls_cert": "a", "tls_key": "b", "plaintext": True}, "contradict each other"),
    ],
)
def test_half_of_tls_is_refused(settings: dict[str, Any], sentence: str) -> None:
    """Whoever names a file means to be encrypted, and is not served in the clear instead."""
    with pytest.raises(ValueError, match=sentence):
        Settings(**settings)


def test_certificates_are_looked_at_before_anything_starts(
    files: dict[str, Any], tmp_path: Path
) -> None:
    """On loopback too, and in one sentence."""
    Authority().issue().write(tmp_path / "other.pem", tmp_path / "key.pem")
    with pytest.raises(LaunchRefusedError, match="not that of the first certificate"):
        check_settings(Settings(**files))

    with pytest.raises(LaunchRefusedError, match="cannot be read: No such file"):
        check_settings(Settings(**files, tls_client_ca=str(tmp_path / "gone.pem")))


def test_files_are_named_by_variables_too(files: dict[str, Any]) -> None:
    """As every setting is; a further gateway is told of them."""
    variables = {f"UNIFY_{name.upper()}": text for name, text in files.items()}

    settings = load_settings({}, variables)

    assert settings.has_tls
    assert settings == Settings(**files)
    order = GatewayOrder(number=1, settings=settings, own_port=0)
    assert settings == unpack_order(order.packed()).settings
