"""The loops behind the hot path find what nobody told them about."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.positions import OrphanPolicy, PositionReport
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.reconcile_positions import Reconciling
from apportion.allocation.workers.dispatcher import Dispatcher
from apportion.allocation.workers.follow_up import FollowUp
from apportion.allocation.workers.projector import Projector
from apportion.allocation.workers.reconciler import Reconciler
from apportion.allocation.workers.reopener import Reopener
from apportion.errors import UpstreamUnavailable
from apportion.money import E8
from apportion.runtime import Background
from apportion.storage import transaction
from apportion.testing.polling import eventually


@pytest.fixture
def dispatcher(house) -> Dispatcher:
    return Dispatcher(house.engine, house.orders, house.clock, retries=house.desk.limits.retries, pause_seconds=0.01)


async def opened(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    return master


async def test_decisions_that_a_crash_left_behind_are_sent(house, dispatcher):
    await opened(house)
    house.waiting.clear()
    house.clock.advance(1)
    async with Background() as background:
        background.spawn("dispatcher", dispatcher.run)
        await eventually(lambda: house.orders.batches)
    assert len(house.orders.batches) == 1


async def test_a_decision_is_sent_as_soon_as_it_is_handed_over(house, dispatcher):
    await opened(house)
    dispatcher.dispatch(house.waiting)
    dispatcher.dispatch(house.waiting)
    await eventually(lambda: house.orders.batches)
    assert len(house.orders.batches) == 1


@pytest.mark.parametrize("entry", [1, 2])
async def test_what_is_sent_from_memory_is_what_the_store_gives(house, entry):
    master = await opened(house)
    for account_id in range(102, 110):
        await house.follower(master, account_id, ratio_e8=account_id * E8 // 100, equity_minor=account_id)
    await house.deal(64, 1.0, position=901)
    if entry == 2:
        await house.deal(64, -0.5, position=901, entry=2)
    kept = dict(house.at_hand)
    assert set(kept) == {allocation.allocation_id for allocation in house.waiting if allocation.kind == 1}
    from_memory = await house.dispatch()
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE allocations SET dispatch_state = 1"))
    house.orders.batches.clear()
    for allocation_id in sorted({int(batch.source_id.split("/")[1]) for batch in from_memory}):
        await house.dispatch_stored(allocation_id)
    assert [str(batch) for batch in house.orders.batches] == [str(batch) for batch in from_memory]


async def test_an_outage_is_waited_out(house, dispatcher):
    await opened(house)
    house.orders.refusals = [UpstreamUnavailable(service="platform-groups")] * 3
    house.clock.advance(1)
    async with Background() as background:
        background.spawn("dispatcher", dispatcher.run)
        await eventually(lambda: house.orders.batches)


async def test_child_rows_are_made_at_once_when_told_and_soon_when_not(house, dispatcher):
    projector = Projector(house.engine, house.clock, dispatcher.committed, pause_seconds=0.01)
    await opened(house)
    async with Background() as background:
        background.spawn("projector", projector.run)
        await eventually(house.children)
        await house.deal(64, 1.0, position=901)

        async def both():
            return len(await house.children()) == 2

        await eventually(both)


async def test_a_refused_close_is_followed_up(house, dispatcher):
    await opened(house)
    (opening,) = await house.dispatch()
    await house.fill(opening, first_position=5_000)
    await house.deal(64, -1.0, position=900, entry=2)
    (closing,) = await house.dispatch()
    await house.fill(closing, lots=dict.fromkeys(closing.item_ids.tolist(), 0))
    async with Background() as background:
        background.spawn("follow_up", FollowUp(house.engine, dispatcher, house.clock, pause_seconds=0.01).run)
        await eventually(lambda: len(house.orders.batches) == 3)
    again = house.orders.batches[-1]
    assert (again.position_tickets.tolist(), again.volumes_e8.tolist()) == ([5_000], [-E8])
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []
    (child,) = await house.children()
    assert child.state is ChildTradeState.FILLED


async def test_what_waits_to_be_opened_again_is_found(house, dispatcher):
    await opened(house)
    (batch,) = await house.dispatch()
    await house.tell_refused(batch, "REQUOTE")
    house.clock.advance(0.5)
    async with Background() as background:
        background.spawn("reopener", Reopener(house.engine, dispatcher, house.clock, house.desk.limits.retries).run)
        await eventually(lambda: len(house.orders.batches) == 2)
    assert house.orders.batches[1].item_ids.tolist() == batch.item_ids.tolist()


async def test_stops_that_were_refused_are_sent_again(house, dispatcher):
    await opened(house)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    await house.move_stops(64, 900, 0.9, 0)
    (modifying,) = await house.dispatch()
    await house.tell_modified(modifying, {modifying.item_ids.tolist()[0]: "STOPS_INVALID"})
    house.clock.advance(0.5)
    async with Background() as background:
        background.spawn("reopener", Reopener(house.engine, dispatcher, house.clock, house.desk.limits.retries).run)
        await eventually(lambda: len(house.orders.batches) == 3)
    assert house.orders.batches[2].stop_losses_e8.tolist() == modifying.stop_losses_e8.tolist()


class Positions:
    """A trading server that is away at first, and then has nothing open."""

    def __init__(self, clock) -> None:
        self._clock = clock
        self.outages = 2
        self.reports = 0

    async def report(self, label, account_ids) -> PositionReport:
        if self.outages:
            self.outages -= 1
            raise UpstreamUnavailable(service="platform-groups")
        self.reports += 1
        nothing = np.empty(0, dtype=np.int64)
        return PositionReport(self._clock.now(), nothing, nothing, [], nothing, nothing, nothing)


class Retelling:
    """Notes what it is asked for, and books nothing."""

    def __init__(self) -> None:
        self.positions: set[tuple[int, int]] = set()

    async def deals(self, lease, label, account_ids, position_tickets, since_time) -> None:
        self.positions |= set(zip(account_ids, position_tickets, strict=True))

        raise UpstreamUnavailable(service="platform-groups")

    async def orders(self, lease, label, allocation_id) -> None:
        raise AssertionError("no order lacks its result")


def reconciler(house, dispatcher, positions, retelling) -> Reconciler:
    rules = Reconciling(0, OrphanPolicy.CLOSE)
    return Reconciler(
        house.engine,
        positions,
        retelling,
        dispatcher,
        "tester",
        house.clock,
        rules=rules,
        pause_seconds=60,
        retry_seconds=0.01,
    )


async def test_a_server_is_compared_at_the_start_and_as_soon_as_it_is_back(house, dispatcher):
    """A lost position is confirmed by the second report, long before the pause is over, and the gauge shows it."""
    await opened(house)
    (opening,) = await house.dispatch()
    await house.fill(opening, first_position=5_000)
    positions, retelling = Positions(house.clock), Retelling()

    def shown(rows: str) -> float | None:
        labels = {"label": "1", "trading_server": "7", "rows": rows}
        return REGISTRY.get_sample_value("apportion_allocation_mismatches", labels)

    async with Background() as background:
        background.spawn("reconciler", reconciler(house, dispatcher, positions, retelling).run)
        await eventually(lambda: shown("child_trades") == 1)
        assert (positions.outages, shown("master_trades"), shown("foreign_positions")) == (0, 1, 0)
        count = positions.reports
    assert count == 4, "of masters and followers, twice"
    assert retelling.positions == {(64, 900), (101, 5_000)}
    assert shown("child_trades") is None, "who gives up the lease shows nothing"
