"""Network addresses of callers: who really called, and which neighbours share one quota."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"


@lru_cache(maxsize=4096)
def quota_network(address: str) -> str:
    """The /24 or /64 whose callers share a quota; `unknown` for what is not an address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = 24 if parsed.version == 4 else 64
    return str(ip_network(f"{parsed}/{prefix}", strict=False))


def in_networks(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address lies in one of the networks; what is not an address lies in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def client_address(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """The caller behind our own proxies.

    X-Forwarded-For is believed only from a listed proxy, and only back to the first hop that is not one: what
    stands left of it was written by the caller himself.
    """
    if not forwarded_for or not in_networks(peer, proxies):
        return peer
    for hop in reversed(forwarded_for.split(",")):
        peer = hop.strip()
        if not in_networks(peer, proxies):
            return peer
    return peer
