"""How a command's connection is encrypted: the options that say it, and what they mean."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from unify_client import TlsConfig

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """What the options say."""

    tls: bool = False
    """Whether the connection is encrypted; each of the following says so too."""
    tls_ca: Path | None = None
    """The authorities that vouch for the service; None: the usual ones."""
    client_cert: Path | None = None
    """The command's own certificate chain, where the service asks for one."""
    client_key: Path | None = None
    """Its private key."""

    def config(self) -> TlsConfig | bool:
        """Returns this as the client takes it; `ArgumentInvalid` for half a certificate."""
        files = (self.tls_ca, self.client_cert, self.client_key)
        if not any(files):
            return self.tls
        from unify_client import TlsConfig

        roots, chain, key = (None if each is None else each.read_bytes() for each in files)
        return TlsConfig(root_certificates=roots, certificate_chain=chain, private_key=key)


def encrypts(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options, as `encryption`."""

    @functools.wraps(command)
    def wrapped(
        *arguments: Any,
        tls: bool,
        tls_ca: Path | None,
        client_cert: Path | None,
        client_key: Path | None,
        **options: Any,
    ) -> None:
        encryption = Encryption(
            tls=tls, tls_ca=tls_ca, client_cert=client_cert, client_key=client_key
        )
        command(*arguments, encryption=encryption, **options)

    for option in reversed(
        (
            click.option(
                "--tls",
                is_flag=True,
                envvar="UNIFY_TLS",
                show_envvar=True,
                help="Encrypt; the options below do too.",
            ),
            _file_option(
                "--tls-ca", "UNIFY_TLS_CA", "Who vouches for the service, if not the usual."
            ),
            _file_option(
                "--client-cert", "UNIFY_CLIENT_CERT", "Certificate to show, with its key."
            ),
            _file_option("--client-key", "UNIFY_CLIENT_KEY", "Private key of --client-cert."),
        )
    ):
        wrapped = option(wrapped)
    return wrapped


def _file_option(
    name: str, variable: str, text: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        name, type=FILE, metavar="FILE", envvar=variable, show_envvar=True, help=f"{text} PEM."
    )
