"""Who really called, and with whom he shares a quota."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from apportion.auth_gateway.domain.addresses import client_address, in_networks, quota_network

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("evil", "unknown"),
    ],
)
def test_neighbours_share_a_quota(address: str, network: str) -> None:
    assert quota_network(address) == network


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.1", "198.51.100.1", "203.0.113.1"),  # not one of our proxies: its word counts for nothing
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),  # what stands left of a stranger is his own
        ("10.0.0.1", "1.1.1.1, evil", "evil"),
        ("fd00::1", "10.0.0.2,10.0.0.3", "10.0.0.2"),
    ],
)
def test_the_first_hop_that_is_not_ours(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_what_is_no_address_is_in_no_network() -> None:
    assert not in_networks("10.0.0", PROXIES)
    assert in_networks("::ffff:10.1.1.1", PROXIES)
