"""Shares of profit are booked between the master's account and the investors': each once, whole, or shown."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from apportion.allocation.domain.distributions import DistributionFilter
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.operations.get_master_summary import get_master_summary
from apportion.allocation.operations.list_distributions import list_distributions
from apportion.allocation.storage.payouts import PAYOUTS
from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2
from apportion.events import ReceivedEvent
from apportion.money import INT64_MAX
from apportion.payments import Backoff, PaymentBatch, PaymentState, Waits, dispatch_payments, transfer_handlers
from apportion.payments.decisions import Decision, decide_payments
from apportion.payments.payment import DecisionKind
from apportion.rpc import set_column
from apportion.storage import RequestKey, transaction

OUT = events_pb2.DEAL_ENTRY_OUT
WAITS = Waits(1, Backoff(1, 60), Backoff(60, 3600))
DONE, REJECTED = transfers_pb2.TRANSFER_STATE_DONE, transfers_pb2.TRANSFER_STATE_REJECTED


@dataclass
class StubTransfers:
    """platform-groups: balances, and each item taken once."""

    balances_minor: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    accepted: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    batches: list[PaymentBatch] = field(default_factory=list)

    async def submit(self, batch: PaymentBatch) -> list[int]:
        self.batches.append(batch)
        columns = (batch.item_ids, batch.debit_account_ids, batch.credit_account_ids, batch.amounts_minor)
        for item, *row in zip(*columns, strict=True):
            assert self.accepted.setdefault(item, tuple(row)) == tuple(row)
        return []

    def book(self) -> events_pb2.TransfersUpdated:
        """Books what was accepted; of closed accounts, or without the money, nothing moves."""
        reasons = ["", "INSUFFICIENT_FUNDS", "ACCOUNT_NOT_OPEN", "ACCOUNT_UNKNOWN"]
        message = events_pb2.TransfersUpdated(source="allocation/profit", reasons=reasons)
        items, found = sorted(self.accepted), []
        for item in items:
            debit, credit, amount = self.accepted.pop(item)
            found.append(self._refusal(debit, credit, amount))
            if not found[-1]:
                self.balances_minor[debit] -= amount
                self.balances_minor[credit] += amount
        set_column(message, "item_ids", items)
        set_column(message, "transfer_ids", [item + 7_000 for item in items])
        set_column(message, "states", [REJECTED if reason else DONE for reason in found])
        set_column(message, "reason_indexes", [reasons.index(reason) for reason in found])
        return message

    def _refusal(self, debit: int, credit: int, amount: int) -> str:
        if {debit, credit} & self.closed:
            return "ACCOUNT_NOT_OPEN"
        if not {debit, credit} <= self.balances_minor.keys():
            return "ACCOUNT_UNKNOWN"
        return "" if self.balances_minor[debit] >= amount else "INSUFFICIENT_FUNDS"


@pytest.fixture
def transfers() -> StubTransfers:
    return StubTransfers({64: 10_000, 101: 10_000, 102: 10_000})


async def closed(house, profit_minor, *, equities=(1, 1)):
    """A pooled master whose trade brought so much."""
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY, allocation_mode=AllocationMode.PROFIT)
    for number, equity_minor in enumerate(equities):
        await house.follower(master, 101 + number, equity_minor=equity_minor)
    await house.deal(64, 1.0, position=900)
    await house.deal(64, -1.0, position=900, entry=OUT, money=(profit_minor, 0, 0))
    return master


async def send(house, transfers):
    while await dispatch_payments(house.engine, PAYOUTS, transfers, house.clock, WAITS):
        pass


async def tell(house, message):
    house.event_count += 1
    event = ReceivedEvent(
        f"00000000-0000-4000-8000-{house.event_count:012d}",
        1,
        "transfers",
        "64",
        house.event_count,
        message.DESCRIPTOR.full_name,
        house.clock.now(),
        0,
        message.SerializeToString(),
    )
    async with transaction(house.engine) as tx:
        await transfer_handlers(PAYOUTS, house.clock, WAITS.retry)[event.type](tx, event)


async def states(house):
    async with transaction(house.engine) as tx:
        query = "SELECT state, reason, attempt_count, transfer_id FROM payouts ORDER BY subscription_id"
        return [tuple(row) for row in await tx.execute(text(query))]


async def unpaid(house, **wanted):
    found = await list_distributions(house.engine, 1, DistributionFilter(**wanted), before=INT64_MAX, limit=10)
    return [
        (row.unpaid_count, row.refused_count, row.unpaid_minor, row.written_off_count, row.written_off_minor)
        for _, row in found
    ]


@pytest.mark.parametrize(("profit_minor", "shares"), [(101, (50, 51)), (-101, (-50, -51))])
async def test_gains_are_paid_and_losses_are_taken(house, transfers, profit_minor, shares):
    master = await closed(house, profit_minor)
    await send(house, transfers)
    (batch,) = transfers.batches
    assert (batch.ordering_key, batch.currency_code) == (64, "USD")
    assert [row[0] for row in await states(house)] == [PaymentState.SUBMITTED] * 2
    assert await unpaid(house) == [(2, 0, profit_minor, 0, 0)]
    summary = await get_master_summary(house.engine, house.desk, 1, master.master_id, now=house.clock.now())
    assert (summary.profit.unpaid_minor, summary.profit.undistributed_minor) == (profit_minor, 0)
    message = transfers.book()
    await tell(house, message)
    await tell(house, message)
    assert [row[:3] for row in await states(house)] == [(PaymentState.PAID, "", 1)] * 2
    assert await unpaid(house) == [(0, 0, 0, 0, 0)]
    assert transfers.balances_minor == {64: 10_000 - profit_minor, 101: 10_000 + shares[0], 102: 10_000 + shares[1]}


async def refuse_by_closing(transfers):
    transfers.closed = {102}


async def refuse_for_money(transfers):
    transfers.balances_minor[102] = 49


async def refuse_what_is_gone(transfers):
    del transfers.balances_minor[102]


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        (refuse_by_closing, "ACCOUNT_NOT_OPEN"),
        (refuse_for_money, "INSUFFICIENT_FUNDS"),
        (refuse_what_is_gone, "ACCOUNT_UNKNOWN"),
    ],
)
async def test_a_refused_share_is_shown_and_tried_again_and_holds_up_nobody(house, transfers, refuse, reason):
    await refuse(transfers)
    await closed(house, -100)
    await send(house, transfers)
    await tell(house, transfers.book())
    assert [row[:3] for row in await states(house)] == [(PaymentState.PAID, "", 1), (PaymentState.REFUSED, reason, 1)]
    assert (transfers.balances_minor[64], transfers.balances_minor[101]) == (10_050, 9_950)
    assert await unpaid(house, only_unpaid=True) == [(1, 1, -50, 0, 0)]
    await send(house, transfers)
    assert transfers.accepted == {}
    transfers.balances_minor[102], transfers.closed = 60, set()
    house.clock.advance(61)
    await send(house, transfers)
    await tell(house, transfers.book())
    assert [row[:3] for row in await states(house)] == [(PaymentState.PAID, "", 1), (PaymentState.PAID, "", 2)]
    assert transfers.balances_minor == {64: 10_100, 101: 9_950, 102: 10}
    assert await unpaid(house, only_unpaid=True) == []


async def test_a_share_that_was_written_off_stays_with_the_master(house, transfers):
    transfers.closed = {102}
    await closed(house, 100)
    await send(house, transfers)
    await tell(house, transfers.book())
    key = RequestKey(1, "WriteOffPayments", str(uuid.UUID(int=1)), b"x")
    async with transaction(house.engine) as tx:
        (row,) = await PAYOUTS.list_unpaid(tx, 1, state=None, reason="", account_id=0, before=INT64_MAX, limit=10)
    assert (row.debit_account_id, row.credit_account_id, row.amount_minor) == (64, 102, 50)
    assert "allocation_id=" in row.origin
    decision = Decision(
        key, DecisionKind.WRITE_OFF, (row.item_id,), "account closed, investor paid by bank", "operator"
    )
    await decide_payments(house.engine, PAYOUTS, decision, now=house.clock.now())
    transfers.closed = set()
    house.clock.advance(10_000)
    await send(house, transfers)
    assert transfers.accepted == {}
    assert transfers.balances_minor == {64: 9_950, 101: 10_050, 102: 10_000}
    assert await unpaid(house) == [(0, 0, 0, 1, 50)]
    assert await unpaid(house, only_unpaid=True) == []


async def test_ten_thousand_shares_go_in_chunks(house, transfers):
    master = await house.master(AllocationMethod.DIVIDE_BY_LOT, allocation_mode=AllocationMode.PROFIT)
    async with transaction(house.engine) as tx:
        await tx.execute(
            text(
                "INSERT INTO subscriptions (label, master_id, account_id, account_login, wallet_account_id, active,"
                " ratio_e8, lot_e8, percent_e8, version, create_time)"
                " SELECT 1, :master_id, 10000 + n, 20000 + n, 1, true, 100000000, 100000000 + n, 0, 1, now()"
                " FROM generate_series(0, 5000) AS n"
            ),
            {"master_id": master.master_id},
        )
    await house.deal(64, 1.0, position=900)
    await house.deal(64, -1.0, position=900, entry=OUT, money=(1_000_003, 0, 0))
    await send(house, transfers)
    assert [len(batch.item_ids) for batch in transfers.batches] == [5_000, 1]
    assert sum(amount for _, _, amount in transfers.accepted.values()) == 1_000_003
