"""What a signed-in user reads: his own, and nothing of anybody else."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apportion.api.allocation.v1 import masters_pb2, subscriptions_pb2
from apportion.api.platform_groups.v1 import accounts_pb2
from apportion.auth_gateway.web.methods import METHODS, Method
from apportion.auth_gateway.wire.params import NoParams
from apportion.errors import Kind, PageTokenInvalid, PeerNotAllowed, RemoteError

LOGIN = 432450857
CREATED = Timestamp(seconds=1_760_000_000)


def master(master_id: int, wallet: int, **changes: Any) -> masters_pb2.Master:
    values = {
        "name": f"Master {master_id}",
        "account_type": masters_pb2.ACCOUNT_TYPE_COPY,
        "account_id": 100 + master_id,
        "account_login": 5000 + master_id,
        "currency_code": "JPY",
        "currency_digits": 2,
        "method": masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY,
        "state": masters_pb2.MASTER_STATE_ACTIVE,
        "listed_on_leaderboard": True,
        "min_follower_equity_minor": 1500,
        "active_subscription_count": 3,
        "create_time": CREATED,
    }
    return masters_pb2.Master(master_id=master_id, wallet_account_id=wallet, **values | changes)


async def test_the_wallet_with_its_snapshot(gateway: Any) -> None:
    gateway.upstream.accounts[1, 7].snapshot.CopyFrom(
        accounts_pb2.AccountSnapshot(
            balance_minor=123456, credit_minor=0, equity_minor=-5, margin_minor=10, free_margin_minor=99,
            observed_time=CREATED,
        )
    )  # fmt: skip
    reply = await gateway.call("accounts.get", headers=await gateway.sign_in())
    assert reply.json["result"] == {
        "account_id": 7,
        "login": LOGIN,
        "kind": "wallet",
        "state": "open",
        "access": "full",
        "currency_code": "USD",
        "leverage": 100,
        "holder_name": "Ann Investor",
        "wallet_account_id": 7,
        "snapshot": {
            "balance": "1234.56",
            "credit": "0.00",
            "equity": "-0.05",
            "margin": "0.10",
            "free_margin": "0.99",
            "observed_time": "2025-10-09T08:53:20.000Z",
        },
        "create_time": "2025-10-09T08:53:20.000Z",
    }


async def test_an_investment_account_of_the_wallet(gateway: Any) -> None:
    gateway.upstream.add_account(1, 8, 600, wallet=7)
    result = (await gateway.call("accounts.get", {"account_id": 8}, await gateway.sign_in())).json["result"]
    assert (result["account_id"], result["kind"], result["snapshot"]) == (8, "investment", None)


async def test_row_63_not_yours_looks_like_not_there(gateway: Any) -> None:
    gateway.upstream.add_account(1, 20, 601)
    gateway.upstream.add_account(1, 21, 602, wallet=20)
    gateway.upstream.add_account(2, 22, 603)
    headers = await gateway.sign_in()
    replies = [await gateway.call("accounts.get", {"account_id": n}, headers) for n in (20, 21, 22, 999)]
    assert len({reply.body for reply in replies}) == 1
    assert (replies[0].status, replies[0].error["code"], replies[0].reason) == (200, -32004, "NOT_FOUND")


async def test_the_leaderboard_shows_others_without_their_accounts(gateway: Any) -> None:
    gateway.upstream.masters = [master(1, 7), master(2, 99), master(3, 99, listed_on_leaderboard=False)]
    result = (await gateway.call("masters.list", headers=await gateway.sign_in())).json["result"]
    assert result["next_page_token"] == "next"
    mine, other = result["masters"]
    assert (mine["account_id"], mine["account_login"]) == (101, 5001)
    assert other == {
        "master_id": 2,
        "name": "Master 2",
        "account_type": "copy",
        "method": "copy_by_equity",
        "state": "active",
        "currency_code": "JPY",
        "min_follower_equity": "15.00",
        "active_subscription_count": 3,
        "account_id": None,
        "account_login": None,
        "create_time": "2025-10-09T08:53:20.000Z",
    }


async def test_own_masters_and_pages(gateway: Any) -> None:
    gateway.upstream.masters = [master(n, 7, listed_on_leaderboard=False) for n in range(1, 4)] + [master(9, 99)]
    headers = await gateway.sign_in()
    result = (await gateway.call("masters.list", {"own": True, "page_size": 2}, headers)).json["result"]
    assert [m["master_id"] for m in result["masters"]] == [1, 2]
    reply = await gateway.call("masters.list", {"page_size": 1001}, headers)
    assert reply.error["data"]["violations"][0]["field"] == "page_size"


async def test_only_the_users_own_subscriptions(gateway: Any) -> None:
    gateway.upstream.subscriptions = [
        subscriptions_pb2.Subscription(
            subscription_id=n, master_id=2, account_id=8, account_login=600, wallet_account_id=wallet, active=True,
            ratio_e8=150_000_000, create_time=CREATED,
        )
        for n, wallet in ((1, 7), (2, 99))
    ]  # fmt: skip
    result = (await gateway.call("subscriptions.list", headers=await gateway.sign_in())).json["result"]
    [item] = result["subscriptions"]
    assert (item["subscription_id"], item["ratio"], item["lot"]) == (1, "1.50000000", "0.00000000")
    assert result["next_page_token"] == ""


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (PageTokenInvalid(), -32602, "PAGE_TOKEN_INVALID"),
        (PeerNotAllowed(), -32603, "INTERNAL"),
        (RemoteError(Kind.PRECONDITION, "SOME_REASON", "internal words"), -32012, "SOME_REASON"),
        (ValueError("internal words"), -32603, "INTERNAL"),
    ],
)
async def test_refusals_of_other_services(gateway: Any, failure: Exception, code: int, reason: str) -> None:
    headers = await gateway.sign_in()
    gateway.upstream.failure = failure
    reply = await gateway.call("masters.list", headers=headers)
    assert (reply.status, reply.error["code"], reply.reason) == (200, code, reason)
    assert b"internal words" not in reply.body


def test_rows_66_to_68_wait_for_their_methods() -> None:
    """No method pays, opens or belongs to managers yet: the rows about roles, request ids and amounts have no subject.

    This fails as soon as a method is added, so that its rows are added with it.
    """
    assert set(METHODS) == {
        "la.auth", "session.exchange", "session.revoke", "accounts.get", "masters.list", "subscriptions.list",
        "rpc.discover",
    }  # fmt: skip
    assert isinstance(METHODS["rpc.discover"], Method)
    assert METHODS["rpc.discover"].params is NoParams
