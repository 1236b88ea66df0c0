"""The allow list names methods that exist, and gives each peer what it needs and no more."""

from __future__ import annotations

from fnmatch import fnmatchcase

from apportion.api.common.v1 import events_pb2
from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    deals_pb2,
    platform_groups_pb2,
    trading_pb2,
    trading_servers_pb2,
    transfers_pb2,
)
from apportion.platform_groups.peers import CRITICAL_METHODS, PEERS

FILES = (accounts_pb2, deals_pb2, platform_groups_pb2, trading_pb2, trading_servers_pb2, transfers_pb2, events_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}"
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def allowed(peer: str) -> set[str]:
    names = {method for method in METHODS for pattern in PEERS[peer] if fnmatchcase(method, pattern)}
    return {name.rpartition("/")[2] for name in names}


def test_every_pattern_meets_a_method() -> None:
    for patterns in (*PEERS.values(), CRITICAL_METHODS):
        for pattern in patterns:
            assert any(fnmatchcase(method, pattern) for method in METHODS), pattern


def test_who_may_do_what() -> None:
    assert allowed("operator") == {method.rpartition("/")[2] for method in METHODS}
    assert allowed("auth-gateway") == {"GetAccount", "ListAccounts"}
    assert {"SubmitOrders", "VoidOpens", "BatchGetPositions", "BatchGetDeals", "GetAccountStates"} <= allowed(
        "allocation"
    )
    assert not {"TransferFunds", "SetKillSwitch", "RegisterTradingServer"} & allowed("allocation")
    assert "BatchTransferFunds" in allowed("fees")
    assert not {"SubmitOrders", "CloseAllPositions", "GetAccountStates", "BatchGetPositions"} & allowed("fees")
    assert {"CloseAllPositions", "GetClosing", "SetAccountAccess", "GetAccountStates", "BatchGetPositions"} <= allowed(
        "risk"
    )
    assert not {"SubmitOrders", "TransferFunds", "CreateAccount"} & allowed("risk")
    assert [peer for peer in PEERS if "ResetAccountPasswords" in allowed(peer)] == ["operator"]


def test_orders_and_what_stops_losses_never_queue_behind_the_rest() -> None:
    critical = {method.rpartition("/")[2] for method in CRITICAL_METHODS}
    closing = {"CloseAllPositions", "GetClosing", "SetKillSwitch", "SetAccountAccess", "GetAccountStates"}
    assert critical == {"SubmitOrders", "VoidOpens"} | closing
