"""A master with one position a symbol is followed by hedging accounts, each trade of his by a child of its own."""

from __future__ import annotations

import pytest
from conftest import key

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.errors import MasterAccountTaken, NettingPositionsOpen
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.money import E8

IN, OUT, IN_OUT = 1, 2, 3
FILLED, CLOSED = ChildTradeState.FILLED, ChildTradeState.CLOSED


class Account:
    """One netting position of the master, and the positions of his followers' children, which all fill."""

    def __init__(self, house) -> None:
        self.house = house
        self.next_position = 5_000

    async def trade(self, lots: float, entry: int = IN) -> list[tuple[int, float]]:
        """A deal; the children's orders are executed. Returns (position, lots), closes by their position."""
        await self.house.deal(64, lots, position=900, entry=entry)
        orders = []
        for batch in await self.house.dispatch():
            if batch.position_tickets.size:
                positions = batch.position_tickets.tolist()
                for account_id, position, volume_e8 in zip(
                    batch.account_ids.tolist(), positions, batch.volumes_e8.tolist(), strict=True
                ):
                    await self.house.deal(account_id, volume_e8 / E8, position=position, entry=OUT, ordered=True)
                await self.house.fill(batch)
            else:
                positions = [self.next_position + row for row in range(batch.item_ids.size)]
                await self.house.fill(batch, first_position=self.next_position)
                self.next_position += len(positions)
            orders += zip(positions, (batch.volumes_e8 / E8).tolist(), strict=True)
        return orders

    async def open_lots(self) -> dict[int, float]:
        """Signed, by position."""
        children = await self.house.children(only_open=True)
        return {child.position_ticket: child.open_volume_e8 / E8 for child in children}


@pytest.fixture
async def account(house) -> Account:
    master = await house.master()
    await house.follower(master, 101)
    await house.follower(master, 102, ratio_e8=E8 // 2)
    return Account(house)


async def test_what_is_added_is_a_child_of_its_own(account):
    assert await account.trade(1.0) == [(5_000, 1.0), (5_001, 0.5)]
    assert await account.trade(0.5) == [(5_002, 0.5), (5_003, 0.25)]
    assert await account.open_lots() == {5_000: 1.0, 5_001: 0.5, 5_002: 0.5, 5_003: 0.25}


async def test_a_reduction_takes_the_same_part_of_each_child(account):
    await account.trade(1.0)
    await account.trade(0.5)
    assert await account.trade(-0.6, OUT) == [(5_000, -0.4), (5_001, -0.2), (5_002, -0.2), (5_003, -0.1)]
    assert await account.trade(0.3) == [(5_004, 0.3), (5_005, 0.15)]
    assert await account.trade(-0.6, OUT) == [
        (5_000, -0.3),
        (5_001, -0.15),
        (5_002, -0.15),
        (5_003, -0.08),
        (5_004, -0.15),
        (5_005, -0.08),
    ]
    assert await account.trade(-0.6, OUT) == [
        (5_000, -0.3),
        (5_001, -0.15),
        (5_002, -0.15),
        (5_003, -0.07),
        (5_004, -0.15),
        (5_005, -0.07),
    ]
    assert await account.open_lots() == {}


async def test_divided_children_of_several_trades_close_what_the_master_closes(house):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY)
    for account_id, equity_minor in ((101, 100), (102, 200), (103, 400)):
        await house.follower(master, account_id, equity_minor=equity_minor)
    account = Account(house)
    await account.trade(1.0)
    await account.trade(0.33)
    for lots, left in ((0.41, 0.92), (0.57, 0.35), (0.35, 0)):
        closed = await account.trade(-lots, OUT)
        assert round(sum(lots for _, lots in closed), 8) == -lots
        assert round(sum((await account.open_lots()).values()), 8) == left


async def test_a_reversal_closes_every_child_and_opens_the_rest_the_other_way(account):
    await account.trade(1.0)
    await account.trade(0.5)
    orders = await account.trade(-2.5, IN_OUT)
    assert orders == [(5_000, -1.0), (5_001, -0.5), (5_002, -0.5), (5_003, -0.25), (5_004, -1.0), (5_005, -0.5)]
    assert await account.open_lots() == {5_004: -1.0, 5_005: -0.5}
    assert await account.trade(0.5, OUT) == [(5_004, 0.5), (5_005, 0.25)]
    assert await account.trade(1.5, IN_OUT) == [(5_004, 0.5), (5_005, 0.25), (5_006, 1.0), (5_007, 0.5)]
    facts = [fact.allocation for fact in await account.house.facts("allocations")]
    assert [(fact.kind, fact.master_volume_e8 / E8) for fact in facts] == [
        (1, 1.0),
        (1, 0.5),
        (2, -1.5),
        (1, -1.0),
        (2, 0.5),
        (2, 0.5),
        (1, 1.0),
    ]
    for fact in facts:
        assert (await explain_allocation(account.house.engine, 1, fact.allocation_id, first=0, limit=10)).agrees


async def test_a_child_that_fills_after_the_reversal_is_closed_and_the_new_one_stays(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (late,) = await house.dispatch()
    await house.deal(64, -1.6, position=900, entry=IN_OUT)
    (turned,) = await house.dispatch()
    await house.fill(turned, first_position=5_001)
    await house.fill(late, first_position=5_000)
    (closing,) = await house.dispatch()
    assert (closing.position_tickets.tolist(), closing.volumes_e8.tolist()) == ([5_000], [-E8])
    await house.deal(101, -1.0, position=5_000, entry=OUT, ordered=True)
    assert [(child.position_ticket, child.state) for child in await house.children()] == [
        (5_000, CLOSED),
        (5_001, FILLED),
    ]
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


async def test_a_closed_position_that_is_opened_again_begins_anew(account):
    await account.trade(1.0)
    await account.trade(-1.0, OUT)
    assert await account.trade(-0.4) == [(5_002, -0.4), (5_003, -0.2)]
    assert await account.trade(0.4, OUT) == [(5_002, 0.4), (5_003, 0.2)]
    assert await account.open_lots() == {}


class TestBeginning:
    """What a position had open before its master was one, its deals do not tell."""

    async def test_a_netting_account_that_has_positions_is_refused(self, house):
        house.positions.held[64] = (900, "EURUSD", E8)
        with pytest.raises(NettingPositionsOpen) as caught:
            await house.master(nets=True)
        assert caught.value.metadata == {"accountId": "64", "symbols": "EURUSD"}
        del house.positions.held[64]
        assert (await house.master(nets=True)).account_id == 64

    async def test_a_hedging_account_may_have_some(self, house):
        house.positions.held[64] = (900, "EURUSD", E8)
        assert (await house.master()).account_id == 64

    async def test_the_command_told_again_is_answered_whatever_he_has_by_then(self, house):
        again = key()
        master = await house.master(nets=True, key=again)
        house.positions.held[64] = (900, "EURUSD", E8)
        assert await house.master(nets=True, key=again) == master
        with pytest.raises(MasterAccountTaken):
            await house.master(nets=True, name="Other")
