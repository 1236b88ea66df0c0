"""Everything of one broker is invisible to another, in each RPC of each service: those of tomorrow too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from apportion.api.allocation.v1 import allocations_pb2
from apportion.api.platform_groups.v1 import trading_pb2, transfers_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.devstack.day import Day
from apportion.devstack.ledger import read_ledger
from apportion.devstack.scene import Scene
from apportion.errors import DomainError, Kind
from apportion.money import E8
from apportion.testing.methods import SHARED, Method, all_methods

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("tenants")]

OTHER_LABEL = 2
# The replays serve the services, for all brokers; that payments are their broker's only, their library's tests show.
METHODS = [method for method in all_methods() if method.descriptor.containing_service.full_name not in SHARED]
LISTS = [method for method in METHODS if method.lists]
BY_ID = [method for method in METHODS if method.ids and not method.lists]
REFUSED_BEFORE = (Kind.INVALID, Kind.PRECONDITION)
# One trade, opened and closed, leaves none of these.
# The leaderboard is made now and then, distributions by profit masters only.
EMPTY = {
    "GetTrip",
    "ListTrips",
    "ListPositions",
    "BatchGetPositions",
    "BatchGetDeals",
    "GetDistribution",
    "ListDistributions",
    "ListLeaderboard",
}


async def test_another_broker_sees_and_changes_nothing(scene: Scene) -> None:
    await _trade(scene)
    ids = await _owned(scene)
    foreign = scene.stack.clients(OTHER_LABEL)
    try:
        for method in LISTS:
            await _list(scene.clients, foreign, method, ids)
        for method in BY_ID:
            await _name(scene.clients, foreign, method, {name: ids[name] for name in method.ids})
    finally:
        await foreign.close()


async def _list(own: Clients, foreign: Clients, method: Method, ids: dict[str, int]) -> None:
    """With and without its filters, a listing shows what is there to its owner only."""
    shown = 0
    for filters in ({}, {name: ids[name] for name in method.ids}):
        request = method.filled(filters)
        if "source_id" in method.descriptor.input_type.fields_by_name:
            request.source_id = f"allocation/{ids['allocation_id']}"  # type: ignore[attr-defined]
        if "include_closed" in method.descriptor.input_type.fields_by_name:
            request.include_closed = True  # type: ignore[attr-defined]
        shown += _content(await _answer(own, method, request))
        answer = await _answer(foreign, method, request)
        assert not _content(answer), f"{method}: {answer}"
    assert shown or method.descriptor.name in EMPTY, f"{method}: nothing is there to be hidden"


async def _name(own: Clients, foreign: Clients, method: Method, ids: dict[str, int]) -> None:
    """By its id, another's thing is not there; a write may be refused before that is seen."""
    request = method.filled(ids, request_id("foreign", method) if method.writes else "")
    if method.descriptor.name == "PreviewTrade":
        request.symbol, request.volume_e8 = "EURUSD", E8  # type: ignore[attr-defined]
    if not method.writes and method.descriptor.name not in EMPTY:
        await own.call(_callable(own, method), request)
    if method.descriptor.name == "BatchTransferFunds":
        await foreign.call(_callable(foreign, method), request)
        await _moves_nothing(foreign)
        return
    with pytest.raises(DomainError) as refused:
        await foreign.call(_callable(foreign, method), request)
    assert refused.value.kind in {Kind.NOT_FOUND, *(REFUSED_BEFORE if method.writes else ())}, method


async def _moves_nothing(foreign: Clients) -> None:
    """A batch of transfers is answered item by item: to another broker the accounts are unknown."""
    answer = await foreign.call(foreign.transfers.ListTransfers, transfers_pb2.ListTransfersRequest())
    assert {(row.state, row.reason) for row in answer.transfers} == {
        (transfers_pb2.TRANSFER_STATE_REJECTED, "ACCOUNT_UNKNOWN")
    }


async def _answer(clients: Clients, method: Method, request: Message) -> Message | None:
    """None: refused, since a filter is missing or names what is not there."""
    try:
        answer: Message = await clients.call(_callable(clients, method), request)
    except DomainError as refusal:
        if refusal.kind in {Kind.NOT_FOUND, Kind.INVALID}:
            return None
        raise
    return answer


def _callable(clients: Clients, method: Method) -> Callable[..., Awaitable[Any]]:
    """The method of the stub of its service."""
    stub = f"{method.descriptor.containing_service.name}Stub"
    [found] = [known for known in vars(clients).values() if type(known).__name__ == stub]
    call: Callable[..., Awaitable[Any]] = getattr(found, method.descriptor.name)
    return call


def _content(answer: Message | None) -> int:
    """How many rows an answer has, in lists and in columns; a column's list of texts always has the empty one."""
    if answer is None:
        return 0
    return sum(
        sum(row != "" for row in value) if field.is_repeated else _content(value)
        for field, value in answer.ListFields()
        if field.is_repeated or field.message_type is not None
    )


async def _trade(scene: Scene) -> None:
    async def quiet(_: str) -> None:
        return None

    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    master = scene.world.masters["copy"]
    await scene.simulator.buy(master.login, "EURUSD", "1.00")
    for position in await scene.simulator.admin.positions(master.login):
        await scene.simulator.close(master.login, position["Position"])
    await Day(scene.world, scene.clients, scene.simulator, quiet).settle("one trade, closed")


async def _owned(scene: Scene) -> dict[str, int]:
    """Ids of what the first broker has, by the name of the field that asks for it. Name a new one here."""
    ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
    master, follower = scene.world.masters["copy"], scene.world.followers["copy"][0]
    [opened] = [a for a in ledger.allocations["copy"] if a.kind == allocations_pb2.ALLOCATION_KIND_OPEN]
    close = trading_pb2.CloseAllPositionsRequest(
        request_id=request_id("own close"), account_id=follower.account_id, cause="test"
    )
    closing = (await scene.clients.call(scene.clients.trading.CloseAllPositions, close)).closing
    return {
        "trading_server_id": scene.world.trading_server_id,
        "platform_group_id": ledger.accounts[master.account_id].platform_group_id,
        "backup_platform_group_id": ledger.accounts[master.account_id].platform_group_id,
        "account_id": follower.account_id,
        "after_account_id": 0,
        "wallet_account_id": follower.wallet_account_id,
        "debit_account_id": follower.account_id,
        "credit_account_id": follower.wallet_account_id,
        "transfer_id": ledger.transfers[0].transfer_id,
        "closing_id": closing.closing_id,
        "master_id": master.master_id,
        "subscription_id": follower.subscription_id,
        "allocation_id": opened.allocation_id,
        "trip_id": 1,
    }
