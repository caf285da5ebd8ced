"""A service that encrypts and asks callers for certificates, with two gateways."""

from __future__ import annotations

import re
import resource
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from click.testing import CliRunner
from unify_client import RetryPolicy, TlsConfig, UnifyClient, UnifyClientError, identify

from actors.command_line import main
from tests.integration.handshakes import GRPC, HTTP, ask, certificate_of, connected, context_of
from tests.integration.service import ACCESS_TOKEN, WRITE_KEY, Service, descendants
from tests.integration.waiting import eventually
from tests.unit.service.authority import Authority, Issued

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

AUTHORITY = Authority()
CALLER, STRANGER = AUTHORITY.issue("caller"), Authority("another").issue()
PATIENCE = RetryPolicy(deadline_s=0)
GATEWAYS = 2
CORE = re.compile(r"^Max core file size +(\w+)", re.MULTILINE)
SECRET = "adm_of_this_test_alone"


class Encrypted:
    """A running service, its files, and callers of it."""

    def __init__(self, directory: Path) -> None:
        self.chain, self.key = directory / "chain.pem", directory / "key.pem"
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(AUTHORITY.pem)
        self.issued = AUTHORITY.issue()
        self.issued.write(self.chain, self.key)
        flags = ("--tls-cert", self.chain, "--tls-key", self.key, "--tls-client-ca", self.ca)
        self.service = Service(
            directory / "data",
            *("--shards", "2", "--gateways", str(GATEWAYS), *map(str, flags)),
            gateway_ports=True,
            admin_token=SECRET,
        )

    def renew(self) -> None:
        """Has the files hold a new certificate."""
        self.issued = AUTHORITY.issue()
        self.issued.write(self.chain, self.key)

    @property
    def http_address(self) -> str:
        """Where HTTP is served, by all gateways."""
        return self.service.http_url.removeprefix("https://")

    def shown(self) -> list[bytes | None]:
        """Returns the certificates that new connections to each gateway are shown."""
        context = context_of(AUTHORITY.pem, CALLER)
        return [certificate_of(each, context, GRPC) for each in self.service.gateway_addresses]

    def is_renewed(self) -> bool:
        """Whether every gateway shows what the files hold."""
        return [self.issued.der] * GATEWAYS == self.shown()

    def client(self, key: str, own: Issued | None = CALLER, *, gateway: int = 0) -> UnifyClient:
        """Returns a client that shows a certificate."""
        tls = TlsConfig(
            root_certificates=AUTHORITY.pem,
            certificate_chain=own and own.chain,
            private_key=own and own.key,
        )
        address = self.service.gateway_addresses[gateway]
        return UnifyClient(address, key=key, tls=tls, retry=PATIENCE)

    def http(self, key: str, own: Issued | None = CALLER) -> httpx.Client:
        """Returns a caller over HTTP that shows a certificate."""
        context = context_of(AUTHORITY.pem, own)
        return httpx.Client(
            base_url=self.service.http_url, verify=context, auth=(key, ""), timeout=20
        )


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """Runs for all tests of this module, which leave a good certificate behind."""
    made = Encrypted(tmp_path_factory.mktemp("tls"))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # As where core dumps are wanted of everything else.
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        made.service.launch()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert made.service.await_ready(), made.service.log()[-2000:]
    yield made
    made.service.stop()


def test_both_ports_serve_who_shows_a_certificate(encrypted: Encrypted) -> None:
    """What is written over HTTP is read over gRPC, and the other way round."""
    with encrypted.http(WRITE_KEY) as http, encrypted.client(WRITE_KEY) as client:
        sent = http.post("/v1/identify", json={"userId": "tls-1", "traits": {"n": 1}})
        (result,) = client.ingest([identify(user_id="tls-2", traits={"n": 2})])
    assert [200, False] == [sent.status_code, result.rejected]

    with encrypted.http(ACCESS_TOKEN) as http, encrypted.client(ACCESS_TOKEN) as client:
        path = "/v1/spaces/dev/collections/users/profiles/user_id:tls-2/traits"
        read = http.get(path)
        profile = client.get_profile("user_id:tls-1")
    assert {"n": 2} == read.json()["traits"]
    assert [("n", 1)] == [(each.name, each.value) for each in profile.traits]
    assert "max-age=31536000" == read.headers["strict-transport-security"]


@pytest.mark.parametrize("own", [None, STRANGER], ids=["without a certificate", "a stranger's"])
def test_nobody_else_is_served(encrypted: Encrypted, own: Issued | None) -> None:
    """By neither port, whatever their key."""
    with encrypted.http(ACCESS_TOKEN, own) as http, pytest.raises(httpx.TransportError):
        http.get("/healthz")
    with (
        encrypted.client(ACCESS_TOKEN, own) as client,
        pytest.raises(UnifyClientError, match="UNAVAILABLE"),
    ):
        client.get_profile("user_id:tls-1")


def test_the_commands_show_a_certificate(encrypted: Encrypted) -> None:
    """Named by options or by variables; without one there is one line that says no."""
    caller = encrypted.chain.parent / "caller.pem"
    caller.write_bytes(CALLER.chain + CALLER.key)
    environment = {
        "UNIFY_ADDRESS": encrypted.service.address,
        "UNIFY_TOKEN": "dev_admin_token",
        "UNIFY_TLS_CA": str(encrypted.ca),
        "UNIFY_CLIENT_KEY": str(caller),
    }

    listed, half = (
        CliRunner().invoke(main, ["space", "list", "--json", *flags], env=environment)
        for flags in (["--client-cert", str(caller)], [])
    )

    assert (0, True) == (listed.exit_code, '"dev"' in listed.output), listed.output
    assert (2, True) == (half.exit_code, "go together" in half.output), half.output


def test_renewed_files_are_served_and_connections_stay(encrypted: Encrypted) -> None:
    """Every gateway shows the new certificate; a stream and a connection go on with the old."""
    old = encrypted.issued
    context = context_of(AUTHORITY.pem, CALLER)
    with (
        connected(encrypted.http_address, context) as connection,
        encrypted.client(ACCESS_TOKEN) as reader,
        encrypted.client(WRITE_KEY) as writer,
        ThreadPoolExecutor(1) as thread,
    ):
        assert 200 == ask(connection).status
        tail = reader.tail_events()
        tailed = thread.submit(next, tail)
        encrypted.renew()
        eventually(encrypted.is_renewed, "all gateways show the new certificate")

        assert old != encrypted.issued
        assert 200 == ask(connection).status
        assert old.der == connection.getpeercert(binary_form=True)
        eventually(
            lambda: bool(writer.ingest([identify(user_id="tls-3")])) and tailed.done(),
            "the tail goes on",
        )
        assert "identify" == tailed.result().event.type
        tail.close()
    with connected(encrypted.http_address, context) as connection:
        assert encrypted.issued.der == connection.getpeercert(binary_form=True)


def test_a_broken_pair_is_said_once_by_each_gateway(encrypted: Encrypted) -> None:
    """They go on with what they had, and take the next good pair."""
    good, said = encrypted.issued, "certificates_refused"
    encrypted.chain.write_bytes(AUTHORITY.issue().chain)
    eventually(lambda: GATEWAYS == encrypted.service.log().count(said), "both gateways say so")

    assert [good.der] * GATEWAYS == encrypted.shown()
    encrypted.renew()
    eventually(encrypted.is_renewed, "all gateways show the next certificate")
    log = encrypted.service.log()
    assert GATEWAYS == log.count(said)
    assert not any(line in log for line in good.key.decode().splitlines())


def test_no_process_inherits_the_admin_token(encrypted: Encrypted) -> None:
    """It opens every space, and who takes it from the environment needs it once."""
    service = encrypted.service
    given, *inherited = (
        Path(f"/proc/{each}/environ").read_bytes()
        for each in (service.pid, *descendants(service.pid))
    )

    assert SECRET.encode() in given
    assert any(b"RAY_AUTH_TOKEN_PATH" in each for each in inherited), "they inherit the rest"
    assert not any(SECRET.encode() in each for each in inherited)


def test_no_process_leaves_its_memory_behind(encrypted: Encrypted) -> None:
    """None of them writes a core dump, which would hold keys, identifiers and traits."""
    service = encrypted.service
    limits = [
        CORE.findall(Path(f"/proc/{each}/limits").read_text())
        for each in (service.pid, *descendants(service.pid))
    ]

    assert len(limits) > GATEWAYS
    assert not [each for each in limits if each != ["0"]]


def test_a_certificate_is_checked_for_its_name(encrypted: Encrypted) -> None:
    """A client does not take another service's certificate for this one's."""
    context = context_of(AUTHORITY.pem, CALLER)
    context.set_alpn_protocols([HTTP])
    host, _, port = encrypted.http_address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 20) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"),
    ):
        context.wrap_socket(plain, server_hostname="elsewhere.example.com")
