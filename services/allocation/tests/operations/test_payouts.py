"""Shares of profit are booked: each once, whole, on its own account, whatever fails on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from apportion.allocation.consumers import payout_handlers
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.domain.payouts import Backoff, PayoutState
from apportion.allocation.operations.pay_out import pay_out
from apportion.allocation.operations.ports import PayoutBatch
from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2
from apportion.errors import DomainError, KillSwitchOn, Kind, NotFound, UpstreamUnavailable
from apportion.events import ReceivedEvent
from apportion.rpc import set_column
from apportion.storage import transaction

OUT = events_pb2.DEAL_ENTRY_OUT
BACKOFF = Backoff(60, 3600)
DONE, REJECTED = transfers_pb2.TRANSFER_STATE_DONE, transfers_pb2.TRANSFER_STATE_REJECTED


class NotOpen(DomainError):
    """As platform-groups refuses a transfer of a closed account."""

    kind = Kind.PRECONDITION
    reason = "ACCOUNT_NOT_OPEN"
    cure = "Open the account."


@dataclass
class StubTransfers:
    """platform-groups: balances, and each item taken once."""

    balances_minor: dict[int, int] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    refusals: list[DomainError] = field(default_factory=list)
    accepted: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    batches: list[PayoutBatch] = field(default_factory=list)
    lost_answers: int = 0

    async def submit(self, batch: PayoutBatch) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        for payout in batch.payouts:
            if payout.account_id in self.closed:
                raise NotOpen("closed", account_id=payout.account_id)
        self.batches.append(batch)
        for payout in batch.payouts:
            row = (payout.debit_account_id, payout.credit_account_id, abs(payout.amount_minor))
            assert self.accepted.setdefault(payout.item_id, row) == row
        if self.lost_answers:
            self.lost_answers -= 1
            raise UpstreamUnavailable(service="platform-groups")

    def book(self) -> events_pb2.TransfersUpdated:
        """Books what was accepted; without the money nothing moves."""
        message = events_pb2.TransfersUpdated(source="allocation/profit", reasons=["", "INSUFFICIENT_FUNDS"])
        items, states = sorted(self.accepted), []
        for item in items:
            debit, credit, amount = self.accepted.pop(item)
            can_pay = self.balances_minor.get(debit, 0) >= amount
            if can_pay:
                self.balances_minor[debit] -= amount
                self.balances_minor[credit] = self.balances_minor.get(credit, 0) + amount
            states.append(DONE if can_pay else REJECTED)
        set_column(message, "item_ids", items)
        set_column(message, "transfer_ids", [item + 7_000 for item in items])
        set_column(message, "states", states)
        set_column(message, "reason_indexes", [int(state == REJECTED) for state in states])
        return message


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


async def send(house, transfers):
    while await pay_out(house.engine, transfers, house.clock, BACKOFF):
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
        await payout_handlers(house.clock, BACKOFF)[event.type](tx, event)


async def states(house):
    async with transaction(house.engine) as tx:
        query = "SELECT state, reason, attempt_count, transfer_id FROM payouts ORDER BY subscription_id"
        return [tuple(row) for row in await tx.execute(text(query))]


@pytest.mark.parametrize(("profit_minor", "shares"), [(101, (50, 51)), (-101, (-50, -51))])
async def test_gains_are_paid_and_losses_are_taken(house, transfers, profit_minor, shares):
    await closed(house, profit_minor)
    await send(house, transfers)
    (batch,) = transfers.batches
    assert (batch.master_account_id, batch.currency_code) == (64, "USD")
    assert [row[0] for row in await states(house)] == [PayoutState.SUBMITTED] * 2
    message = transfers.book()
    await tell(house, message)
    await tell(house, message)
    assert [row[:3] for row in await states(house)] == [(PayoutState.PAID, "", 1)] * 2
    assert [row[3] > 7_000 for row in await states(house)] == [True, True]
    assert transfers.balances_minor == {64: 10_000 - profit_minor, 101: 10_000 + shares[0], 102: 10_000 + shares[1]}


async def test_who_cannot_pay_owes_it_and_nobody_else_pays(house, transfers):
    transfers.balances_minor[102] = 49
    await closed(house, -100)
    await send(house, transfers)
    await tell(house, transfers.book())
    assert [row[:3] for row in await states(house)] == [
        (PayoutState.PAID, "", 1),
        (PayoutState.REFUSED, "INSUFFICIENT_FUNDS", 1),
    ]
    assert transfers.balances_minor == {64: 10_050, 101: 9_950, 102: 49}
    await send(house, transfers)
    assert transfers.accepted == {}
    transfers.balances_minor[102] = 60
    house.clock.advance(61)
    await send(house, transfers)
    await tell(house, transfers.book())
    assert [row[:3] for row in await states(house)] == [(PayoutState.PAID, "", 1), (PayoutState.PAID, "", 2)]
    assert transfers.balances_minor == {64: 10_100, 101: 9_950, 102: 10}


async def test_waits_between_attempts_double(house, transfers):
    transfers.balances_minor[101] = 0
    await closed(house, -10, equities=(1,))
    for wait in (60, 120, 240):
        await send(house, transfers)
        await tell(house, transfers.book())
        house.clock.advance(wait - 1)
        await send(house, transfers)
        assert transfers.accepted == {}
        house.clock.advance(1)


async def test_after_a_lost_answer_the_same_items_are_sent_again(house, transfers):
    transfers.lost_answers = 1
    await closed(house, 100)
    await send(house, transfers)
    assert {row[:2] for row in await states(house)} == {(PayoutState.READY, "UPSTREAM_UNAVAILABLE")}
    house.clock.advance(61)
    await send(house, transfers)
    first, second = transfers.batches
    assert first.request_id == second.request_id
    await tell(house, transfers.book())
    assert transfers.balances_minor == {64: 9_900, 101: 10_050, 102: 10_050}


async def test_a_worker_that_died_with_a_claim_is_replaced(house, transfers):
    async def die(batch):
        raise RuntimeError("killed")

    await closed(house, 100)
    alive, transfers.submit = transfers.submit, die
    with pytest.raises(RuntimeError):
        await send(house, transfers)
    transfers.submit = alive
    await send(house, transfers)
    assert transfers.accepted == {}
    house.clock.advance(16)
    await send(house, transfers)
    await tell(house, transfers.book())
    assert transfers.balances_minor == {64: 9_900, 101: 10_050, 102: 10_050}


async def test_a_closed_account_does_not_hold_up_the_others(house, transfers):
    transfers.closed = {101}
    await closed(house, 100)
    await send(house, transfers)
    await tell(house, transfers.book())
    assert [row[:2] for row in await states(house)] == [
        (PayoutState.READY, "ACCOUNT_NOT_OPEN"),
        (PayoutState.PAID, ""),
    ]


async def test_a_refusal_that_names_nobody_is_halved_down_to_the_bad_item(house, transfers):
    await closed(house, 100, equities=(1, 1, 1, 1))
    transfers.refusals = [NotFound("thing", 5), NotFound("thing", 5), NotFound("thing", 5)]
    await send(house, transfers)
    assert sorted(row[0] for row in await states(house)) == [1, 2, 2, 2]


async def test_the_kill_switch_puts_off_all(house, transfers):
    await closed(house, 100)
    transfers.refusals = [KillSwitchOn()]
    await send(house, transfers)
    assert {row[:2] for row in await states(house)} == {(PayoutState.READY, "KILL_SWITCH_ON")}
    assert transfers.accepted == {}


async def test_results_of_others_with_the_same_numbers_are_left_out(house, transfers):
    await closed(house, 100)
    await send(house, transfers)
    message = transfers.book()
    message.source = "fees"
    await tell(house, message)
    assert {row[0] for row in await states(house)} == {PayoutState.SUBMITTED}


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
    assert [len(batch.payouts) for batch in transfers.batches] == [5_000, 1]
    assert sum(amount for _, _, amount in transfers.accepted.values()) == 1_000_003
