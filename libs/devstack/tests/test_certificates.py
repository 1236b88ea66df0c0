from __future__ import annotations

from pathlib import Path

from cryptography import x509

from apportion.devstack.certificates import create_authority, issue


def test_the_name_comes_first_and_loopback_is_covered(tmp_path: Path) -> None:
    tls = issue(tmp_path, "platform-groups")
    certificate = x509.load_pem_x509_certificate(tls.certificate_file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["platform-groups", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    authority = x509.load_pem_x509_certificate(tls.ca_file.read_bytes())
    certificate.verify_directly_issued_by(authority)


def test_the_authority_is_made_once_and_certificates_are_renewed(tmp_path: Path) -> None:
    authority = create_authority(tmp_path).read_bytes()
    first = issue(tmp_path, "fees").certificate_file.read_bytes()
    second = issue(tmp_path, "fees").certificate_file.read_bytes()
    assert first != second
    assert create_authority(tmp_path).read_bytes() == authority


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    tls = issue(tmp_path, "fees")
    assert tls.key_file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "ca-key.pem").stat().st_mode & 0o077 == 0
