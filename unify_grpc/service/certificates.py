"""The certificates that both ports serve with: read, checked, replaced while they serve.

What is read is checked as bytes, and the same bytes are served with: the files may change between
two looks at them. They go to the library through a file in memory, for it takes files only.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc

from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unify_grpc.settings import Settings

LOOK_INTERVAL_S: Final = 1.0
"""Between two looks at the files. A change is taken over when two looks find the same."""
FILE_BYTES_MAX: Final = 1 << 20
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_ENCRYPTED: Final = b"ENCRYPTED"
_OTHERS: Final = stat.S_IRWXO


class CertificatesRefusedError(ValueError):
    """Nothing can be served with these files; the text says why in one sentence."""


class CertificateFiles(NamedTuple):
    """Where certificates are, in PEM."""

    chain: Path
    """The service's own certificate, then those that vouch for it."""
    key: Path
    """The private key of the first, without a passphrase."""
    client_ca: Path | None
    """Whom the service trusts to vouch for callers; None: callers need no certificate."""


class Pems(NamedTuple):
    """What the files hold."""

    chain: bytes
    key: bytes
    client_ca: bytes | None

    def __repr__(self) -> str:
        """Says nothing of the key, wherever this is shown."""
        return "Pems(…)"


class Certificates(NamedTuple):
    """Certificates that go together, ready to be served with."""

    pems: Pems
    context: ssl.SSLContext
    """For HTTP."""


def read_pems(files: CertificateFiles) -> Pems:
    """Returns what the files hold.

    Raises:
        CertificatesRefusedError: one cannot be read, or anybody may read the key.
    """
    return Pems(
        _read(files.chain, "certificate chain"),
        _read(files.key, "private key", is_secret=True),
        None if files.client_ca is None else _read(files.client_ca, "client CA"),
    )


def check_pems(pems: Pems) -> Certificates:
    """Returns certificates for serving.

    Raises:
        CertificatesRefusedError: they are damaged, or do not go together.
    """
    if _CERTIFICATE not in pems.chain:
        raise CertificatesRefusedError("the TLS certificate chain holds no certificate in PEM")
    if _KEY not in pems.key:
        raise CertificatesRefusedError("the TLS private key is no key in PEM")
    if _ENCRYPTED in pems.key:
        raise CertificatesRefusedError("the TLS private key has a passphrase; give one without")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _in_memory(pems.chain) as chain, _in_memory(pems.key) as key:
            context.load_cert_chain(chain, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = "the TLS private key is not that of the first certificate of the chain"
            raise CertificatesRefusedError(text) from None
        text = f"the TLS certificate chain and private key cannot be used ({_reason(error)})"
        raise CertificatesRefusedError(text) from None
    if pems.client_ca is not None:
        _ask_clients(context, pems.client_ca)
    return Certificates(pems, context)


class CertificateKeeper:
    """Keeps the certificates that a gateway serves with, which those of the files become.

    Connections that are there go on with what they began with. Files that cannot be served with
    change nothing, and are said once.
    """

    def __init__(self, files: CertificateFiles) -> None:
        """Reads the files.

        Raises:
            CertificatesRefusedError: there is nothing to begin with.
        """
        self._files = files
        self.present = check_pems(read_pems(files))
        """What new connections are served with."""
        self._seen: Pems | str = self.present.pems
        """What the last look found: what is in the files, or why that cannot be read."""
        self._settled: Pems | str = self._seen
        """What was last taken over, or refused."""
        self._log = get_logger("gateway")

    @property
    def needs_client_certificate(self) -> bool:
        """Whether only callers are let in who have a certificate of their own."""
        return self._files.client_ca is not None

    def take(self, found: Pems | str) -> bool:
        """Takes note of what a look found; returns whether that is served with from now on.

        Nothing is made of what was not there at the look before: it may be half written.
        """
        is_still = found == self._seen
        self._seen = found
        if not is_still or found == self._settled:
            return False
        self._settled = found
        if found == self.present.pems:
            return False
        why = found if isinstance(found, str) else self._replace(found)
        if why:
            self._log.warning("certificates_refused", why=why)
            return False
        self._log.info("certificates_replaced")
        return True

    async def watch(self) -> None:
        """Looks at the files again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            found = await asyncio.to_thread(self._look)
            try:
                self.take(found)
            except OSError as error:  # no descriptor left, say: the next look tries again
                self._settled = self.present.pems
                self._log.warning("certificates_not_taken", error=type(error).__name__)

    def _replace(self, found: Pems) -> str:
        """Serves with what was found; returns why not, empty if it does."""
        try:
            self.present = check_pems(found)
        except CertificatesRefusedError as error:
            return str(error)
        return ""

    def _look(self) -> Pems | str:
        try:
            return read_pems(self._files)
        except CertificatesRefusedError as error:
            return str(error)

    # -- for the ports ----------------------------------------------------------------------

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Returns credentials for one gRPC port, which asks with each handshake what is new."""
        given = self.present.pems

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            wanted = self.present.pems
            if wanted is given:
                return None
            given = wanted
            return _grpc_configuration(wanted)

        # Each port remembers by itself what it was given, hence one `given` for each.
        fetching: Callable[[], grpc.ServerCertificateConfiguration] = fetch  # type: ignore[assignment]  # None: as before
        return grpc.dynamic_ssl_server_credentials(
            _grpc_configuration(given), fetching, self.needs_client_certificate
        )

    def http_context(self) -> ssl.SSLContext:
        """Returns the context of the HTTP port, which hands each handshake to the present one."""
        door = check_pems(self.present.pems).context

        def hand_on(connection: ssl.SSLObject, name: str | None, at: ssl.SSLContext) -> None:
            del name, at
            connection.context = self.present.context

        # Called for each handshake, whether its caller names a server or not, and before
        # certificates are shown and asked for.
        door.sni_callback = hand_on
        return door


def keep_certificates(settings: Settings) -> CertificateKeeper | None:
    """Returns what keeps the certificates that settings name; None: they say nothing of TLS.

    Raises:
        CertificatesRefusedError: nothing can be served with them.
    """
    if not settings.has_tls:
        return None
    client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
    files = CertificateFiles(Path(settings.tls_cert), Path(settings.tls_key), client_ca)
    return CertificateKeeper(files)


def _grpc_configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pems.key, pems.chain)], root_certificates=pems.client_ca
    )


def _ask_clients(context: ssl.SSLContext, client_ca: bytes) -> None:
    try:
        with _in_memory(client_ca) as path:
            context.load_verify_locations(path)
    except ssl.SSLError as error:
        text = f"the TLS client CA holds no certificate in PEM ({_reason(error)})"
        raise CertificatesRefusedError(text) from None
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session shows no certificate: it would outlive the trust in its authority. That is
    # without tickets in TLS 1.3; what TLS 1.2 remembers by itself cannot be turned off from here.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0


def _read(path: Path, name: str, *, is_secret: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if is_secret and mode & _OTHERS:
                # Whoever has the key can pass for the service; group access is for secrets that
                # are mounted for another user than the one that owns them.
                raise CertificatesRefusedError(
                    f"the TLS {name} {path} is open to every user of the machine:"
                    f" `chmod o= {path}` and replace it if others may have read it"
                )
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        text = f"the TLS {name} {path} cannot be read: {error.strerror}"
        raise CertificatesRefusedError(text) from None
    if len(content) > FILE_BYTES_MAX:
        raise CertificatesRefusedError(f"the TLS {name} {path} is larger than 1 MB")
    return content


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yields the path of a file that holds some bytes, and is on no disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "damaged").replace("_", " ").lower()
