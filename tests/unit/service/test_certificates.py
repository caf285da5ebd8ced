"""Certificates while a gateway serves: what is taken over, and what changes nothing."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from cryptography.hazmat.primitives import serialization

from tests.unit.http.tracking_edge import until
from tests.unit.service.authority import Authority, Issued
from unify_grpc.service import certificates
from unify_grpc.service.certificates import (
    FILE_BYTES_MAX,
    CertificateFiles,
    CertificateKeeper,
    CertificatesRefusedError,
    Pems,
    check_pems,
    read_pems,
)

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = Authority()
ONE, TWO = AUTHORITY.issue(), AUTHORITY.issue()


def pems(issued: Issued, client_ca: bytes | None = None) -> Pems:
    """Returns what files of a certificate hold."""
    return Pems(issued.chain, issued.key, client_ca)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """The files of the first certificate, which ask nothing of callers."""
    made = CertificateFiles(tmp_path / "chain.pem", tmp_path / "key.pem", None)
    ONE.write(made.chain, made.key)
    return made


def test_what_two_looks_find_is_served(files: CertificateFiles) -> None:
    """A new pair is taken over at the second look that finds it, and once."""
    keeper = CertificateKeeper(files)

    taken = [keeper.take(pems(TWO)) for _ in range(3)]

    assert [False, True, False] == taken
    assert TWO.chain == keeper.present.pems.chain


def test_what_has_not_changed_is_not_taken_over(files: CertificateFiles) -> None:
    """Files that were only touched, or changed and changed back, leave everything as it is."""
    keeper = CertificateKeeper(files)
    first = keeper.present

    assert not any(keeper.take(pems(each)) for each in (ONE, ONE, TWO, ONE, ONE))
    assert first is keeper.present


@pytest.mark.parametrize(
    "broken",
    [
        Pems(TWO.chain, ONE.key, None),
        Pems(TWO.chain[:300], TWO.key, None),
        Pems(TWO.chain, TWO.key[:100], None),
        Pems(TWO.chain + AUTHORITY.pem[:300], TWO.key, None),
        Pems(b"", b"", None),
        "the TLS certificate chain cannot be read",
    ],
    ids=["of two pairs", "half a chain", "half a key", "half an authority", "empty", "gone"],
)
def test_a_broken_pair_changes_nothing(files: CertificateFiles, broken: Pems | str) -> None:
    """What was served goes on being served; it is said once, and the next good pair is taken."""
    keeper = CertificateKeeper(files)

    with structlog.testing.capture_logs() as lines:
        taken = [keeper.take(broken) for _ in range(4)]

    assert not any(taken)
    assert ONE.chain == keeper.present.pems.chain
    assert ["certificates_refused"] == [line["event"] for line in lines]
    assert b"PRIVATE" not in str(lines).encode()
    keeper.take(pems(TWO))
    assert keeper.take(pems(TWO))


def test_what_is_half_written_is_not_looked_into(files: CertificateFiles) -> None:
    """While files are being written each look finds something else, of which nothing is said."""
    keeper = CertificateKeeper(files)

    with structlog.testing.capture_logs() as lines:
        for end in range(100, 500, 100):
            assert not keeper.take(Pems(TWO.chain[:end], ONE.key, None))

    assert [] == lines


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (pems(Issued(ONE.chain, TWO.key)), "is not that of the first certificate"),
        (pems(Issued(b"nothing", ONE.key)), "chain holds no certificate in PEM"),
        (pems(Issued(ONE.chain[:300], ONE.key)), "cannot be used"),
        (pems(Issued(ONE.chain, ONE.chain)), "is no key in PEM"),
        (pems(ONE, client_ca=b"nothing"), "client CA holds no certificate"),
        (pems(ONE, client_ca=AUTHORITY.pem[:300]), "client CA holds no certificate"),
    ],
)
def test_what_does_not_go_together_is_refused(made: Pems, sentence: str) -> None:
    """In one sentence, which shows nothing of the key."""
    with pytest.raises(CertificatesRefusedError, match=sentence) as refused:
        check_pems(made)

    assert "\n" not in str(refused.value)


def test_a_key_with_a_passphrase_is_refused() -> None:
    """Nobody would be there to type it in when the service starts by itself."""
    key = serialization.load_pem_private_key(ONE.key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )

    with pytest.raises(CertificatesRefusedError, match="has a passphrase"):
        check_pems(pems(Issued(ONE.chain, locked)))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601])
def test_a_key_that_every_user_may_open_is_refused(files: CertificateFiles, mode: int) -> None:
    """Whoever has the key can pass for the service; a group may read it."""
    files.key.chmod(0o640)
    read_pems(files)
    files.key.chmod(mode)

    with pytest.raises(CertificatesRefusedError, match="open to every user"):
        read_pems(files)


@pytest.mark.parametrize("name", ["chain", "key", "client_ca"])
def test_a_file_that_is_not_there_is_refused(files: CertificateFiles, name: str) -> None:
    """By its name, and why."""
    with pytest.raises(CertificatesRefusedError, match=r"/gone\.pem cannot be read: No such file"):
        read_pems(files._replace(**{name: files.chain.parent / "gone.pem"}))


def test_a_file_without_end_is_not_read(files: CertificateFiles) -> None:
    """A path that was mistaken costs no memory."""
    os.truncate(files.chain, FILE_BYTES_MAX + 1)

    with pytest.raises(CertificatesRefusedError, match="larger than 1 MB"):
        read_pems(files)


async def test_a_process_without_descriptors_tries_again(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trouble passes, and what the files hold by then is served."""
    monkeypatch.setattr(certificates, "LOOK_INTERVAL_S", 0)
    keeper, memfd_create, failures = (
        CertificateKeeper(files),
        os.memfd_create,
        [OSError(), OSError()],
    )

    def fail(*arguments: Any) -> int:
        if failures:
            raise failures.pop()
        return memfd_create(*arguments)

    monkeypatch.setattr(os, "memfd_create", fail)
    TWO.write(files.chain, files.key)
    watching = asyncio.create_task(keeper.watch())
    await until(lambda: keeper.present.pems.chain == TWO.chain)
    watching.cancel()

    assert [] == failures


def test_a_key_is_never_shown() -> None:
    """Not even where what holds it is."""
    assert "PRIVATE" not in repr(pems(ONE)) + str(check_pems(pems(ONE)))
