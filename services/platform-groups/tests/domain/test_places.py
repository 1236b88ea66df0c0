"""Tokens, shards, rights, addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.platform_groups.adapters.hosts import Hosts
from apportion.platform_groups.domain.accounts import access_of, rights_for
from apportion.platform_groups.domain.shards import SHARD_COUNT, lease_key, shard_of
from apportion.platform_groups.domain.states import AccountAccess
from apportion.platform_groups.domain.tokens import (
    account_token,
    account_token_of,
    leg_of,
    leg_token,
    leg_token_of,
    order_of,
    order_token,
)
from apportion.platform_groups.domain.trading_servers import check_addresses
from apportion.platform_groups.errors import HostNotAllowed


@given(st.integers(1, 2**63 - 1))
def test_tokens_are_read_back_and_fit_a_comment(number: int) -> None:
    for make, read in ((order_token, order_of), (leg_token, leg_of)):
        assert read(make(number)) == number
        assert read(f"so: {make(number)} [tp]") == number
        assert len(make(number)) <= 31
    assert order_of(leg_token(number)) == leg_of(order_token(number)) == 0
    salted = leg_token(number % 10**17, "0f1e2d3c")
    assert leg_of(salted) == number % 10**17
    assert leg_token_of(f"so: {salted} [tp]") == salted
    assert leg_token_of(f"{leg_token(number)} vip") == leg_token(number)
    assert len(salted) <= 31
    token = account_token(number, "3F2A9c01-aaaa")
    assert account_token_of(f"{token} vip") == token
    assert len(token) <= 31
    assert order_of(token) == leg_of(token) == 0


@pytest.mark.parametrize("comment", ["", "ap:o", "ap:ox", "hello", "AP:O5"])
def test_no_token(comment: str) -> None:
    assert order_of(comment) == leg_of(comment) == 0
    assert account_token_of(comment) == ""


def test_shards() -> None:
    assert {shard_of(account_id) for account_id in range(100)} == set(range(SHARD_COUNT))
    assert lease_key(3, 7) == "3/7"


def test_rights_change_one_bit() -> None:
    assert rights_for(483, AccountAccess.READ_ONLY) == 487
    assert rights_for(487, AccountAccess.FULL) == 483
    assert rights_for(483, AccountAccess.FULL) == 483
    assert (access_of(487), access_of(483)) == (AccountAccess.READ_ONLY, AccountAccess.FULL)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "169.254.0.7",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
    ],
)
def test_forbidden_addresses(address: str) -> None:
    with pytest.raises(HostNotAllowed):
        check_addresses(
            "server", [ipaddress.ip_address("10.1.2.3"), ipaddress.ip_address(address)], allow_loopback=False
        )
    assert not Hosts(allow_loopback=False).permits(address)


def test_allowed_addresses() -> None:
    check_addresses("server", [ipaddress.ip_address("10.1.2.3"), ipaddress.ip_address("8.8.8.8")], allow_loopback=False)
    check_addresses("server", [ipaddress.ip_address("127.0.0.1")], allow_loopback=True)
    with pytest.raises(HostNotAllowed):
        check_addresses("server", [ipaddress.ip_address("169.254.169.254")], allow_loopback=True)
    with pytest.raises(HostNotAllowed):
        check_addresses("server", [], allow_loopback=True)
