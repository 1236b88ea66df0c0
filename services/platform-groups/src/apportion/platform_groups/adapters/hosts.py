"""Which hosts we connect to: checked when a server is registered and again before every login pool is made."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from apportion.platform_groups.domain.trading_servers import check_addresses
from apportion.platform_groups.errors import HostNotAllowed


class Hosts:
    """`allow_loopback` is for simulators on this machine."""

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback

    async def check(self, host: str) -> None:
        """Resolves the name and refuses it when any of its addresses is forbidden. Raises HostNotAllowed."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise HostNotAllowed(f"{host} cannot be resolved", host=host) from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        check_addresses(host, addresses, allow_loopback=self._allow_loopback)
