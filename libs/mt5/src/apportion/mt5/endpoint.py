"""Where a trading server is and as whom we log in."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

WEB_API_VERSION = 484


def anywhere(_address: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base_url` like `https://host:443`; `ca_pem` pins the server's certificate or its private authority."""

    base_url: str
    manager_login: int
    manager_password: str = field(repr=False)
    ca_pem: str | None = field(default=None, repr=False)
    agent: str = "apportion"
    timeout_seconds: float = 10.0
    ping_seconds: float = 20.0
    permits: Callable[[str], bool] = anywhere
    """Asked of the address at each connect: a name may lead elsewhere by then than when it was checked."""

    def ssl_context(self) -> ssl.SSLContext:
        """Public authorities, or the pinned one alone.

        A pinned certificate is trusted for what it is: self-signed ones in the field rarely carry the host's name.
        """
        if not self.ca_pem:
            return ssl.create_default_context()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca_pem)
        context.check_hostname = False
        return context
