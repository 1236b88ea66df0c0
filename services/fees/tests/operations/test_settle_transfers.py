from __future__ import annotations

import asyncio
from datetime import timedelta

from fees_world import LABEL, LOT, NOW, OUTSTANDING, closes, give_terms, rows_of

from apportion.fees.domain.charge import TransferResult, TransferState
from apportion.fees.operations.charge_closes import charge_closes
from apportion.fees.operations.settle_transfers import settle_transfers
from apportion.storage import transaction

CHARGE = "SELECT state, attempt_count, transfer_id, reason, next_attempt_time, settle_time FROM charges"


async def charged(engine) -> int:
    await give_terms(engine)
    async with transaction(engine) as tx:
        await charge_closes(tx, LABEL, closes((90, 7, 500, LOT)), closed_time=NOW, now=NOW)
    return (await rows_of(engine, "SELECT item_id FROM transfers"))[0][0]


async def settle(engine, item_id, state=TransferState.DONE, reason="", label=LABEL) -> None:
    async with transaction(engine) as tx:
        result = TransferResult(item_id, 77, state, reason)
        await settle_transfers(tx, label, [result], now=NOW, backoff=OUTSTANDING)


async def test_a_done_transfer_pays(engine):
    await settle(engine, await charged(engine))
    assert await rows_of(engine, CHARGE) == [(2, 1, 77, "", None, NOW)]


async def test_a_refused_transfer_leaves_a_debt_with_its_reason(engine):
    await settle(engine, await charged(engine), TransferState.REJECTED, "NO_MONEY")
    assert await rows_of(engine, CHARGE) == [(3, 1, 77, "NO_MONEY", NOW + timedelta(seconds=60), None)]


async def test_repeats_and_contradictions_change_nothing(engine):
    item_id = await charged(engine)
    results = (TransferState.DONE, TransferState.REJECTED) * 5
    await asyncio.gather(*(settle(engine, item_id, state) for state in results))
    [(state, *_)] = await rows_of(engine, CHARGE)
    before = await rows_of(engine, CHARGE)
    await settle(engine, item_id, TransferState.REJECTED if state == 2 else TransferState.DONE)
    assert await rows_of(engine, CHARGE) == before


async def test_another_label_or_an_unknown_item_changes_nothing(engine):
    item_id = await charged(engine)
    await settle(engine, item_id, label=2)
    await settle(engine, item_id + 1)
    assert (await rows_of(engine, CHARGE))[0][0] == 1
