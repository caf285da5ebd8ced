"""An authority that vouches for services and callers, for tests: certificates in PEM."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509.base import CertificateBuilder

LIFE = dt.timedelta(days=1)
KEY_MODE = 0o600


class Issued(NamedTuple):
    """A certificate and its key."""

    chain: bytes
    key: bytes

    @property
    def der(self) -> bytes:
        """The certificate as it is seen in a handshake."""
        return ssl.PEM_cert_to_DER_cert(self.chain.decode())

    def write(self, chain: Path, key: Path) -> None:
        """Writes both; the key for its owner alone."""
        chain.write_bytes(self.chain)
        key.touch(KEY_MODE)
        key.write_bytes(self.key)


class Authority:
    """Signs certificates by a key of its own."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        signing = x509.KeyUsage(
            **dict.fromkeys(_OTHER_USES, False), key_cert_sign=True, crl_sign=True
        )
        made = (
            self._certificate(self._name, self._key.public_key())
            .add_extension(usage, critical=True)
            .add_extension(signing, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM)
        """Its own certificate."""

    def issue(self, name: str = "localhost") -> Issued:
        """Returns a certificate for a name, which also holds for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = (
            self._certificate(subject, key.public_key())
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Issued(made.public_bytes(serialization.Encoding.PEM), private)

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFE)
            .not_valid_after(now + LIFE)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


_OTHER_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "encipher_only", "decipher_only"),
)
