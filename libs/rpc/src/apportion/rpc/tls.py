"""Mutual TLS: every service proves its name with a certificate whose DNS name is that name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from apportion.runtime.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files of one identity: certificate chain, private key, and the authority all peers trust."""

    certificate_file: Path
    key_file: Path
    ca_file: Path

    @classmethod
    def of(cls, settings: ServiceSettings) -> Tls | None:
        """The identity in the settings; None only where they say `insecure`."""
        files = (settings.tls_certificate_file, settings.tls_key_file, settings.tls_ca_file)
        if settings.insecure or files[0] is None or files[1] is None or files[2] is None:
            return None
        return cls(files[0], files[1], files[2])

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever one of the files is renewed; OSError when one is missing."""
        files = (self.certificate_file, self.key_file, self.ca_file)
        return tuple((status.st_mtime_ns, status.st_ino) for status in map(Path.stat, files))


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials that ask every client for a certificate and follow the files when they are renewed."""
    reader = _RenewedFiles(tls)
    return grpc.dynamic_ssl_server_credentials(
        reader.read(),
        reader.read_if_changed,  # type: ignore[arg-type]  # the stub forgets that None means "no change"
        require_client_authentication=True,
    )


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Credentials of the calling side, as the files are now."""
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca_file.read_bytes(),
        private_key=tls.key_file.read_bytes(),
        certificate_chain=tls.certificate_file.read_bytes(),
    )


class _RenewedFiles:
    """Re-reads the files when one of them has changed; asked by gRPC before each handshake."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = self._tls.stamps()

    def read(self) -> grpc.ServerCertificateConfiguration:
        pair = (self._tls.key_file.read_bytes(), self._tls.certificate_file.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=self._tls.ca_file.read_bytes())

    def read_if_changed(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamps = self._tls.stamps()
            if stamps == self._seen:
                return None
            fresh = self.read()
        except OSError:
            return None  # half-way through a renewal: the old certificate stays until all files are there
        self._seen = stamps
        return fresh
