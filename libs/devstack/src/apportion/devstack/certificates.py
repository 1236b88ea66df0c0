"""Certificates for development and tests: one authority, and one identity per service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apportion.rpc import Tls

AUTHORITY_NAME = "Apportion development authority"
CA_FILE = "ca.pem"
CA_KEY_FILE = "ca-key.pem"
LIFETIME = timedelta(days=365)
CLOCK_SKEW = timedelta(minutes=5)


def create_authority(folder: Path) -> Path:
    """Make `ca.pem` and `ca-key.pem` in `folder` unless they are there; returns the path of `ca.pem`."""
    certificate_file = folder / CA_FILE
    if certificate_file.exists():
        return certificate_file
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(AUTHORITY_NAME)
    certificate = (
        _builder(name, name, key.public_key(), datetime.now(UTC), LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(folder / CA_KEY_FILE, key)
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file


def issue(folder: Path, name: str, *, now: datetime | None = None, lifetime: timedelta = LIFETIME) -> Tls:
    """A fresh certificate and key for the service `name`, signed by the authority in `folder` (made if missing).

    The names in it are `name`, localhost and both loopback addresses. Issuing again replaces the files, as a
    renewal does.
    """
    ca_file = create_authority(folder)
    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    authority_key = serialization.load_pem_private_key((folder / CA_KEY_FILE).read_bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{CA_KEY_FILE} must hold an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName(name),
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
            x509.IPAddress(IPv6Address("::1")),
        ]
    )
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _builder(_name(name), authority.subject, key.public_key(), now or datetime.now(UTC), lifetime)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    tls = Tls(certificate_file=folder / f"{name}.pem", key_file=folder / f"{name}-key.pem", ca_file=ca_file)
    _write_key(tls.key_file, key)
    _write(tls.certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return tls


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, content, mode=0o600)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """In one step, so that a server which watches the file never reads half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode)
    fresh.write_bytes(content)
    fresh.replace(path)
