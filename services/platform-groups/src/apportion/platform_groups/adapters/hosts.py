"""Which hosts we connect to: checked when a server is registered, when a pool is made, at each connect."""

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
        addresses = [_parsed(str(entry[4][0])) for entry in found]
        check_addresses(host, addresses, allow_loopback=self._allow_loopback)

    def permits(self, address: str) -> bool:
        """Whether this is an address that a host may have."""
        try:
            check_addresses(address, [_parsed(address)], allow_loopback=self._allow_loopback)
        except HostNotAllowed:
            return False
        return True


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])
