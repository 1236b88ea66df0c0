from __future__ import annotations

import asyncio
from datetime import timedelta

from fees_world import LABEL, LOT, NOW, closes, give_terms, rows_of, settle

from apportion.errors import VersionConflict
from apportion.fees.operations.charge_closes import charge_closes
from apportion.storage import transaction

FEES = (
    "SELECT child_trade_id, deal_ticket, rate_minor, fee_minor FROM calculations ORDER BY child_trade_id, deal_ticket"
)


async def charge(engine, closed, label=LABEL, closed_time=NOW) -> int:
    async with transaction(engine) as tx:
        charged = await charge_closes(tx, label, closed, closed_time=closed_time, now=NOW)
    assert not charged.changed
    return charged.started_count


async def test_each_close_is_calculated_and_charged(engine):
    await give_terms(engine)
    assert await charge(engine, closes((90, 7, 500, LOT), (91, 7, 501, LOT // 3))) == 2
    assert await rows_of(engine, FEES) == [(90, 500, 700, 700), (91, 501, 700, 233)]
    charges = (
        "SELECT debit_account_id, credit_account_id, ordering_key, amount_minor, state, attempt_count FROM charges"
    )
    assert await rows_of(engine, f"{charges} ORDER BY item_id") == [(47, 9, 3, 700, 1, 1), (47, 9, 3, 233, 1, 1)]


async def test_a_close_without_terms_is_written_down_and_free(engine):
    assert await charge(engine, closes((90, 7, 500, LOT))) == 0
    assert await rows_of(engine, FEES) == [(90, 500, 0, 0)]
    assert await rows_of(engine, "SELECT * FROM charges") == []


async def test_later_terms_do_not_reach_back(engine):
    await charge(engine, closes((90, 7, 500, LOT)))
    await give_terms(engine)
    assert await charge(engine, closes((90, 7, 500, LOT))) == 0
    assert await charge(engine, closes((90, 7, 501, LOT))) == 1
    assert await rows_of(engine, FEES) == [(90, 500, 0, 0), (90, 501, 700, 700)]


async def test_the_newest_version_of_the_terms_counts(engine):
    await give_terms(engine, rate_minor=700, version=1)
    await give_terms(engine, rate_minor=300, version=2)
    await charge(engine, closes((90, 7, 500, LOT)))
    assert await rows_of(engine, "SELECT terms_version, fee_minor FROM calculations") == [(2, 300)]


async def test_an_event_that_waited_is_calculated_by_the_terms_of_its_time(engine):
    await give_terms(engine, rate_minor=700, version=1)
    await give_terms(engine, rate_minor=300, version=2, update_time=NOW + timedelta(seconds=10))
    for ticket, seconds in ((500, -1), (501, 0), (502, 9), (503, 10)):
        await charge(engine, closes((90, 7, ticket, LOT)), closed_time=NOW + timedelta(seconds=seconds))
    assert await rows_of(engine, "SELECT deal_ticket, terms_version, fee_minor FROM calculations ORDER BY 1") == [
        (500, 0, 0),
        (501, 1, 700),
        (502, 1, 700),
        (503, 2, 300),
    ]


async def test_terms_of_another_label_do_not_count(engine):
    await give_terms(engine)
    assert await charge(engine, closes((90, 7, 500, LOT)), label=2) == 0


async def test_the_same_close_is_charged_once_however_often_it_comes(engine):
    """Twelve deliveries at the same time, overlapping and in different batches."""
    await give_terms(engine)
    batches = [closes(*((90 + i, 7, 500 + i, LOT) for i in range(start, start + 20))) for start in (0, 10, 5) * 4]

    async def deliver(closed) -> int:
        try:
            return await charge(engine, closed)
        except VersionConflict:  # a deadlock: the consumer delivers again
            return await charge(engine, closed)

    started = await asyncio.gather(*(deliver(batch) for batch in batches))
    assert sum(started) == 30
    assert await rows_of(engine, "SELECT count(*), count(DISTINCT child_trade_id) FROM calculations") == [(30, 30)]
    assert await rows_of(engine, "SELECT count(*), sum(amount_minor) FROM charges") == [(30, 21_000)]


async def test_a_further_close_of_the_payer_takes_up_his_debt_first(engine):
    await give_terms(engine)
    await give_terms(engine, subscription_id=8)
    await charge(engine, closes((90, 7, 500, LOT), (91, 8, 501, LOT)))
    await settle(engine, {1: "NO_MONEY", 2: "NO_MONEY"})
    assert await charge(engine, closes((92, 7, 502, LOT))) == 2
    ready = "SELECT child_trade_id, attempt_count FROM charges JOIN calculations USING (calculation_id) WHERE state = 1"
    assert await rows_of(engine, f"{ready} ORDER BY item_id") == [(90, 2), (92, 1)]


async def test_five_thousand_closes_are_one_batch(engine):
    await give_terms(engine)
    assert await charge(engine, closes(*((i, 7, i, LOT) for i in range(1, 5_001)))) == 5_000
