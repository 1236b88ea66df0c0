"""Somebody is away while masters and investors go on trading: when he is back, what is open is what should be open."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from apportion.api.allocation.v1 import allocations_pb2, subscriptions_pb2
from apportion.devstack.clients import request_id
from apportion.devstack.day import FAILURES
from apportion.devstack.ledger import ENTRY_IN
from apportion.devstack.scene import Scene, open_scene
from apportion.devstack.world import E8, Follower
from apportion.events import Redis
from apportion.events.received_event import stream_key
from apportion.storage import PARTITIONS
from apportion.testing.polling import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("reconcile")]

INVESTOR_COUNT = 9
DEAL_SECONDS = 30.0
LOT_STEP = Fraction(1, 100)
SETTINGS = {
    "ALLOCATION_DEAL_SECONDS": str(DEAL_SECONDS),
    # A busy machine may be slow, but what has left no trace is not opened again.
    "ALLOCATION_OPEN_SECONDS": "15",
    "ALLOCATION_CATCH_UP_SECONDS": "0",
    "ALLOCATION_RECONCILE_SECONDS": "2",
    "ALLOCATION_RECONCILE_RETRY_SECONDS": "0.5",
    "ALLOCATION_CONFIRM_SECONDS": "1",
    "ALLOCATION_ANSWER_SECONDS": "3",
    "ALLOCATION_FOLLOW_UP_SECONDS": "2",
}
HELD_UP_SECONDS = 600.0
"""Or until the faults are cleared."""
HEADS = """
    json_to_recordset($1::json) AS h (label bigint, aggregate_type text, aggregate_id text, sequence bigint)
    WHERE c.consumer LIKE 'allocation%' AND (c.label, c.aggregate_type, c.aggregate_id)
        = (h.label, h.aggregate_type, h.aggregate_id) AND c.last_sequence < h.sequence
"""
BEHIND = f"SELECT FROM inbox_cursors AS c, {HEADS}"
GO_ON = f"UPDATE inbox_cursors AS c SET last_sequence = h.sequence, parked_time = NULL, failure_count = 0 FROM {HEADS}"
BY_HAND, REJECTED = allocations_pb2.MISMATCH_NO_MASTER_TRADE, allocations_pb2.MISMATCH_CHILD_REJECTED
MOVING = {allocations_pb2.CHILD_TRADE_STATE_PENDING, allocations_pb2.CHILD_TRADE_STATE_SENT}

Away = Callable[[Scene], AbstractAsyncContextManager[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with open_scene(folder, investor_count=INVESTOR_COUNT, settings=SETTINGS) as opened:
        await _set_prices(opened)
        careful, patient, _ = opened.world.followers["copy"]
        for follower, points in ((careful, 10), (patient, 500)):
            request = subscriptions_pb2.UpdateSubscriptionRequest(
                request_id=request_id("slippage", follower.key),
                subscription_id=follower.subscription_id,
                settings=subscriptions_pb2.CopySettings(max_slippage_points=points),
            )
            await opened.clients.call(opened.clients.subscriptions.UpdateSubscription, request)
        yield opened


@asynccontextmanager
async def _connector_away(scene: Scene) -> AsyncIterator[None]:
    connector = scene.stack.services["platform-groups"]
    connector.kill()
    await scene.stack.free_leases("platform-groups")
    yield
    await connector.start()


@asynccontextmanager
async def _server_away(scene: Scene) -> AsyncIterator[None]:
    """For the connector; traders at their terminals go on."""
    await scene.simulator.add_fault("disconnect", count=None)
    await scene.simulator.admin.disconnect_all()
    yield
    await scene.simulator.admin.clear_faults()


@asynccontextmanager
async def _allocation_away(scene: Scene) -> AsyncIterator[None]:
    allocation = scene.stack.services["allocation"]
    allocation.kill()
    await scene.stack.free_leases("allocation")
    yield
    await allocation.start()


@pytest.mark.parametrize("away", [_connector_away, _server_away, _allocation_away])
async def test_what_happened_meanwhile_is_followed(scene: Scene, away: Away) -> None:
    await _set_prices(scene)
    master, pool = scene.world.masters["copy"], scene.world.masters["pooled"]
    by_hand, stopped, steady = scene.world.followers["multiplier"]
    partly = await _buy(scene, "copy", "EURUSD", "1.00")
    wholly = await _buy(scene, "copy", "EURUSD", "0.80")
    pooled = await _buy(scene, "pooled", "EURUSD", "1.00")
    multiplied = await _sell(scene, "multiplier", "GBPUSD", "1.00")
    await _agree(scene)
    opened = await _held(scene)
    before = Counter(await _openings(scene))

    async with away(scene):
        began = asyncio.get_running_loop().time()
        late = await _buy(scene, "copy", "AUDUSD", "0.20")
        await scene.simulator.advance(DEAL_SECONDS + 5)
        await scene.simulator.close(master.login, partly, "0.40")
        await scene.simulator.close(master.login, wholly)
        await scene.simulator.close(pool.login, pooled, "0.30")
        await scene.simulator.close(by_hand.login, opened[by_hand.login, multiplied][0].ticket)
        await scene.simulator.admin.modify(stopped.login, opened[stopped.login, multiplied][0].ticket, sl="1.27030")
        if away is _allocation_away:  # deals are read as they happen: only our own clock makes them old
            await eventually(lambda: asyncio.get_running_loop().time() > began + DEAL_SECONDS + 1, DEAL_SECONDS + 2)
        young = await _buy(scene, "copy", "GBPUSD", "0.50")
        foreign = await scene.simulator.buy(steady.login, "AUDUSD", "0.01")
        await scene.simulator.set_price("GBPUSD", "1.27050", "1.27050")

    await eventually(partial(_have_opened, scene, young, scene.world.followers["copy"][1:]))
    await _agree(scene, foreign={int(foreign["PositionID"])})
    held = await _held(scene)
    for follower in scene.world.followers["copy"]:
        was = sum(position.lots for position in opened[follower.login, partly])
        assert sum(position.lots for position in held[follower.login, partly]) == was - _half_up(was * Fraction(4, 10))
        assert not held[follower.login, wholly]
        assert not held[follower.login, late], "it was too old"
    assert sum(p.lots for f in scene.world.followers["pooled"] for p in held[f.login, pooled]) == Fraction(70, 100)
    assert [len(held[f.login, multiplied]) for f in (by_hand, stopped, steady)] == [0, 0, 1], "never opened again"
    assert [len(held[f.login, young]) for f in scene.world.followers["copy"]] == [0, 1, 1], "inside their slippage"
    assert await _reasons(scene, late) == {"TOO_LATE"}
    new = Counter(await _openings(scene)) - before
    assert all(count == 1 for count in new.values()), "no child twice"

    await scene.simulator.close(steady.login, foreign["PositionID"])
    await _close_all(scene)


async def test_an_order_that_the_server_executes_late_is_closed_again(scene: Scene) -> None:
    """It left no trace while it was asked for, so it is over for everybody; then it is done."""
    await _set_prices(scene)
    late, *_ = scene.world.followers["multiplier"]
    fault = await scene.simulator.add_fault(
        "latency", endpoint="dealer/send_request", login=late.login, seconds=HELD_UP_SECONDS
    )
    position = await _buy(scene, "multiplier", "EURUSD", "1.00")
    await eventually(partial(_is_given_up, scene, late, position))
    assert await scene.simulator.admin.fired(fault) == 1
    assert (late.login, position) not in await _openings(scene)
    await scene.simulator.admin.clear_faults()
    await eventually(partial(_have_opened, scene, position, [late]))
    await _agree(scene)
    assert Counter(await _openings(scene))[late.login, position] == 1
    assert not await _positions(scene, late), "what should not be open is closed"
    held = await _held(scene)
    assert all(held[follower.login, position] for follower in scene.world.followers["multiplier"][1:])
    await _close_all(scene)


async def test_what_no_event_will_ever_tell_is_noticed(scene: Scene) -> None:
    """All events of an outage are gone, from the streams and from the outbox."""
    await _set_prices(scene)
    master, pool = scene.world.masters["copy"], scene.world.masters["pooled"]
    by_hand, *_ = scene.world.followers["multiplier"]
    partly = await _buy(scene, "copy", "EURUSD", "1.00")
    wholly = await _buy(scene, "copy", "EURUSD", "0.80")
    pooled = await _buy(scene, "pooled", "EURUSD", "1.00")
    multiplied = await _sell(scene, "multiplier", "GBPUSD", "1.00")
    await _agree(scene)
    opened = await _held(scene)
    before = Counter(await _openings(scene))

    await scene.simulator.add_fault("latency", endpoint="dealer/send_request", seconds=HELD_UP_SECONDS, count=None)
    filled_meanwhile = await _buy(scene, "multiplier", "EURUSD", "0.60")
    await eventually(partial(_are_sent, scene, filled_meanwhile))
    async with _allocation_away(scene):
        await scene.simulator.close(master.login, partly, "0.40")
        await scene.simulator.close(master.login, wholly)
        await scene.simulator.close(pool.login, pooled, "0.30")
        await scene.simulator.close(by_hand.login, opened[by_hand.login, multiplied][0].ticket)
        young = await _buy(scene, "copy", "GBPUSD", "0.50")
        await scene.simulator.admin.clear_faults()
        await eventually(partial(_is_all_read, scene))
        await _lose_events(scene)

    await eventually(partial(_have_opened, scene, young, scene.world.followers["copy"]))
    await _agree(scene)
    held = await _held(scene)
    for follower in scene.world.followers["copy"]:
        was = sum(position.lots for position in opened[follower.login, partly])
        assert sum(position.lots for position in held[follower.login, partly]) == was - _half_up(was * Fraction(4, 10))
        assert not held[follower.login, wholly]
        assert len(held[follower.login, young]) == 1
    assert sum(p.lots for f in scene.world.followers["pooled"] for p in held[f.login, pooled]) == Fraction(70, 100)
    assert not held[by_hand.login, multiplied]
    assert all(held[follower.login, filled_meanwhile] for follower in scene.world.followers["multiplier"])
    new = Counter(await _openings(scene)) - before
    assert all(count == 1 for count in new.values()), "no child twice"
    assert await _rows(scene, "allocation", BEHIND, await _heads(scene)), "no event told it"

    async with _allocation_away(scene):  # a person has agreed on the state
        await _rows(scene, "allocation", GO_ON, await _heads(scene))
    await _close_all(scene)


async def _is_given_up(scene: Scene, follower: Follower, position: int) -> bool:
    """Whether the order of a follower for a master's new position is over without a trace."""
    request = allocations_pb2.ListChildTradesRequest(
        subscription_id=follower.subscription_id, states=[allocations_pb2.CHILD_TRADE_STATE_EXPIRED]
    )
    return any(child.master_position_ticket == position for child in await _children(scene, request))


async def _have_opened(scene: Scene, position: int, followers: list[Follower]) -> bool:
    """Whether these followed a master's new position: an order that was refused in passing is made anew."""
    try:
        return {(follower.login, position) for follower in followers} <= {*await _openings(scene)}
    except FAILURES:
        return False  # who was away is not heard yet


async def _are_sent(scene: Scene, position: int) -> bool:
    """Whether the orders of a master's new position have been handed over."""
    query = "SELECT FROM allocations WHERE position_ticket = $1 AND kind = 1 AND dispatch_state = 3"
    return bool(await _rows(scene, "allocation", query, position))


async def _is_all_read(scene: Scene) -> bool:
    """Whether the connector has read all deals, and all orders have ended."""
    real = {
        int(deal["Deal"])
        for account in scene.world.accounts
        for deal in await scene.simulator.admin.deals(account.login)
        if deal["Action"] in {"0", "1"}
    }
    read = {row["deal_ticket"] for row in await _rows(scene, "platform-groups", "SELECT deal_ticket FROM deals")}
    return real <= read and not await _rows(scene, "platform-groups", "SELECT FROM orders WHERE state < 4")


async def _lose_events(scene: Scene) -> None:
    await _rows(scene, "platform-groups", "DELETE FROM outbox WHERE aggregate_type IN ('deals', 'orders')")
    redis = Redis(scene.stack.valkey.url(0))
    try:
        for topic in ("deals", "orders"):
            for partition in range(PARTITIONS):
                await redis.command("XTRIM", stream_key(topic, partition), "MAXLEN", "0")
    finally:
        await redis.close()


async def _heads(scene: Scene) -> str:
    """The newest number of each aggregate, as JSON."""
    query = """SELECT json_agg(a)::text AS heads FROM (
        SELECT label, aggregate_type, aggregate_id, sequence FROM aggregates WHERE aggregate_type IN ('deals', 'orders')
    ) AS a"""
    [row] = await _rows(scene, "platform-groups", query)
    return str(row["heads"])


async def _rows(scene: Scene, service: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(scene.stack.postgres.url("postgres", service.replace("-", "_")))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return rows
    finally:
        await connection.close()


@dataclass(frozen=True)
class Position:
    ticket: int
    lots: Fraction


async def _agree(scene: Scene, foreign: frozenset[int] | set[int] = frozenset()) -> None:
    """Until every deal of a master is decided and followed, the books are as the server, and only foreign positions are
    flagged.
    """

    async def differences() -> list[str]:
        found = await _undecided(scene)
        children = await _children(scene, allocations_pb2.ListChildTradesRequest())
        books = {child.position_ticket: child.open_volume_e8 for child in children if child.open_volume_e8}
        real = {t: v for follower in _followers(scene) for t, v in (await _positions(scene, follower)).items()}
        found += [f"{t}: {real.get(t, 0)} on the server" for t in books.keys() | real.keys() if _differ(books, real, t)]
        found += [f"child {c.child_trade_id} is {c.state}" for c in children if c.state in MOVING]
        return found + await _not_closed(scene)

    async def flags() -> dict[int, list[int]]:
        request = allocations_pb2.ListChildTradesRequest(only_mismatched=True)
        rows = await _children(scene, request)
        return {row.position_ticket: list(row.mismatches) for row in rows if list(row.mismatches) != [REJECTED]}

    def _differ(books: dict[int, int], real: dict[int, int], ticket: int) -> bool:
        return ticket not in foreign and books.get(ticket, 0) != real.get(ticket, 0)

    seen: list[object] = []

    async def agree() -> bool:
        try:
            seen[:] = [await differences(), await flags()]
        except FAILURES as error:
            seen[:] = [error]
        return seen == [[], {ticket: [BY_HAND] for ticket in foreign}]

    try:
        await eventually(agree)
    except AssertionError:
        raise AssertionError(f"after {PATIENCE_SECONDS} s: {seen}") from None


async def _undecided(scene: Scene) -> list[str]:
    found = []
    for key, master in scene.world.masters.items():
        listing = allocations_pb2.ListAllocationsRequest(master_id=master.master_id)
        decided = {
            allocation.deal_ticket
            async for page in scene.clients.pages(scene.clients.allocations.ListAllocations, listing)
            for allocation in page.allocations
        }
        deals = {int(d["Deal"]) for d in await scene.simulator.admin.deals(master.login) if d["Action"] in {"0", "1"}}
        found += [f"{key}: deal {ticket} is not decided" for ticket in sorted(deals - decided)]
    return found


async def _not_closed(scene: Scene) -> list[str]:
    """Closes on their way: a master's children have more open than was decided."""
    request = allocations_pb2.ListMasterTradesRequest(include_closed=True)
    pages = scene.clients.pages(scene.clients.allocations.ListMasterTrades, request)
    return [
        f"of {trade.position_ticket} {trade.actual_volume_e8} is open, not {trade.expected_volume_e8}"
        async for page in pages
        for trade in page.master_trades
        if abs(trade.actual_volume_e8) > abs(trade.expected_volume_e8)
    ]


async def _children(scene: Scene, request: allocations_pb2.ListChildTradesRequest) -> list[allocations_pb2.ChildTrade]:
    list_children = scene.clients.allocations.ListChildTrades
    return [child async for page in scene.clients.pages(list_children, request) for child in page.child_trades]


async def _positions(scene: Scene, follower: Follower) -> dict[int, int]:
    """Signed volumes by ticket, as the server has them."""
    return {
        int(position["Position"]): int(position["VolumeExt"]) * (1 if position["Action"] == "0" else -1)
        for position in await scene.simulator.admin.positions(follower.login)
    }


async def _held(scene: Scene) -> dict[tuple[int, int], list[Position]]:
    """What followers have open on the server, by their login and the master's position."""
    children = await _children(scene, allocations_pb2.ListChildTradesRequest())
    followed = {child.position_ticket: child.master_position_ticket for child in children}
    held: dict[tuple[int, int], list[Position]] = defaultdict(list)
    for follower in _followers(scene):
        for ticket, volume_e8 in (await _positions(scene, follower)).items():
            held[follower.login, followed.get(ticket, 0)].append(Position(ticket, abs(Fraction(volume_e8, E8))))
    return held


async def _openings(scene: Scene) -> list[tuple[int, int]]:
    """(login, master's position) of every opening deal of a follower that the server has; 0: opened by hand."""
    children = await _children(scene, allocations_pb2.ListChildTradesRequest())
    followed = {child.position_ticket: child.master_position_ticket for child in children}
    return [
        (follower.login, followed.get(int(deal["PositionID"]), 0))
        for follower in _followers(scene)
        for deal in await scene.simulator.admin.deals(follower.login)
        if deal["Action"] in {"0", "1"} and deal["Entry"] == ENTRY_IN
    ]


async def _reasons(scene: Scene, position: int) -> set[str]:
    """Why nobody, or not everybody, took part in the opening of a master's position."""
    listing = allocations_pb2.ListAllocationsRequest(master_id=scene.world.masters["copy"].master_id)
    async for page in scene.clients.pages(scene.clients.allocations.ListAllocations, listing):
        for allocation in page.allocations:
            if allocation.position_ticket == position and allocation.kind == allocations_pb2.ALLOCATION_KIND_OPEN:
                request = allocations_pb2.GetAllocationRequest(
                    allocation_id=allocation.allocation_id, include_children=True, only_skipped=True
                )
                answer = await scene.clients.call(scene.clients.allocations.GetAllocation, request)
                return {
                    allocations_pb2.SkipReason.Name(reason).removeprefix("SKIP_REASON_")
                    for reason in answer.children.skip_reasons
                }
    return set()


def _followers(scene: Scene) -> list[Follower]:
    return [follower for followers in scene.world.followers.values() for follower in followers]


async def _buy(scene: Scene, key: str, symbol: str, lots: str) -> int:
    """The ticket of the master's position."""
    return int((await scene.simulator.buy(scene.world.masters[key].login, symbol, lots))["PositionID"])


async def _sell(scene: Scene, key: str, symbol: str, lots: str) -> int:
    return int((await scene.simulator.sell(scene.world.masters[key].login, symbol, lots))["PositionID"])


async def _set_prices(scene: Scene) -> None:
    for symbol, price in (("AUDUSD", "0.66000"), ("EURUSD", "1.10000"), ("GBPUSD", "1.27000")):
        await scene.simulator.set_price(symbol, price, price)


async def _close_all(scene: Scene) -> None:
    """Leave the scene flat for the next test."""
    for master in scene.world.masters.values():
        for position in await scene.simulator.admin.positions(master.login):
            await scene.simulator.close(master.login, position["Position"])
    await _agree(scene)
    assert not any([await _positions(scene, follower) for follower in _followers(scene)])


def _half_up(lots: Fraction) -> Fraction:
    """To whole lot steps, each child alone."""
    return Fraction((lots / LOT_STEP + Fraction(1, 2)).__floor__()) * LOT_STEP
