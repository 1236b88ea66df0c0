"""Payments are booked: each once, whole, whatever fails on the way."""

from __future__ import annotations

import asyncio
import random

import pytest
from payments_world import DUES, LABEL, PAYEE, WAITS, StubTransfers, ended_event

from apportion.errors import DomainError, KillSwitchOn, UpstreamUnavailable
from apportion.payments import PaymentDispatcher, PaymentState, dispatch_payments
from apportion.payments.dispatcher import HOLD_SECONDS
from apportion.payments.metrics import UNPAID_COUNT, UNPAID_MINOR
from apportion.storage import transaction
from apportion.testing.polling import eventually

READY, SUBMITTED, PAID, REFUSED, _ = (int(state) for state in PaymentState)
ATTEMPTS = "SELECT state, reason, attempt_count FROM dues ORDER BY due_id"


async def test_what_is_due_goes_out_in_one_batch_of_its_key(world):
    await world.owe((47, 5), (48, 6))
    await world.owe((47, 7), ordering_key=4)
    assert await world.send() == 3
    assert [(batch.ordering_key, list(batch.amounts_minor)) for batch in world.transfers.batches] == [
        (3, [5, 6]),
        (4, [7]),
    ]
    assert await world.states() == [(SUBMITTED, "")] * 3
    assert await world.send() == 0


async def test_results_end_them_once(world):
    await world.owe((47, 5), (48, 6))
    await world.send()
    message = world.transfers.book()
    for _ in range(2):
        await world.tell(message)
    assert (
        await world.rows("SELECT state, transfer_id > 7000, settle_time IS NULL FROM dues") == [(PAID, True, False)] * 2
    )
    assert world.transfers.balances_minor[PAYEE] == 11


async def test_results_of_others_change_nothing(world):
    await world.owe((47, 5))
    await world.send()
    ended = dict.fromkeys(world.transfers.waiting, (4, "X"))
    await world.tell(ended_event(ended, source="operator"))
    await world.tell(ended_event(ended), label=2)
    await world.tell(ended_event({987: (3, "")}))
    assert await world.states() == [(SUBMITTED, "")]


async def test_after_a_lost_answer_the_same_items_go_out_again_under_the_same_id(world):
    await world.owe((47, 5), (48, 6))
    world.transfers.lost_answers = 1
    await world.send()
    assert await world.states() == [(READY, "UPSTREAM_UNAVAILABLE")] * 2
    assert await world.send() == 0
    world.clock.advance(1)
    assert await world.send() == 2
    first, second = world.transfers.batches
    assert first == second
    await world.tell(world.transfers.book())
    assert world.transfers.balances_minor[PAYEE] == 11


async def test_a_result_may_come_before_the_answer(world):
    await world.owe((47, 5))
    world.transfers.lost_answers = 1
    await world.send()
    await world.tell(world.transfers.book())
    world.clock.advance(100)
    assert await world.send() == 0
    assert await world.states() == [(PAID, "")]


async def test_a_worker_that_dies_with_a_claim_only_delays(world):
    await world.owe((47, 5))

    def die(_batch) -> None:
        raise asyncio.CancelledError

    world.transfers.fail = die
    with pytest.raises(asyncio.CancelledError):
        await world.send()
    world.transfers.fail = lambda batch: None
    assert await world.send() == 0
    world.clock.advance(HOLD_SECONDS)
    await world.turn()
    first, second = world.transfers.batches
    assert first == second
    assert await world.states() == [(PAID, "")]


async def test_the_kill_switch_puts_off_all(world):
    await world.owe((47, 5), (48, 6))

    def stop(_batch) -> None:
        raise KillSwitchOn

    world.transfers.fail = stop
    for wait in (1, 2, 4):
        assert await world.send() == 2
        world.clock.advance(wait - 0.5)
        assert await world.send() == 0
        world.clock.advance(0.5)
    assert await world.states() == [(READY, "KILL_SWITCH_ON")] * 2


async def test_who_cannot_pay_owes_it_and_is_asked_again_ever_less_often(world):
    world.transfers.balances_minor[48] = 5
    await world.owe((47, 5), (48, 6))
    await world.turn()
    assert await world.states() == [(PAID, ""), (REFUSED, "INSUFFICIENT_FUNDS")]
    for wait in (60, 120, 240):
        world.clock.advance(wait - 1)
        assert await world.send() == 0
        world.clock.advance(1)
        await world.turn()
    world.transfers.balances_minor[48] = 6
    world.clock.advance(480)
    await world.turn()
    assert await world.rows(ATTEMPTS) == [(PAID, "", 1), (PAID, "", 5)]
    assert world.transfers.balances_minor[PAYEE] == 11
    assert len(world.transfers.refused) == 4, "each attempt was an item of its own"


async def test_an_unknown_account_holds_up_nobody(world):
    await world.owe((99, 5), (47, 6))
    await world.turn()
    assert await world.states() == [(REFUSED, "ACCOUNT_UNKNOWN"), (PAID, "")]


async def test_a_debtor_is_asked_again_when_told_to(world):
    world.transfers.balances_minor.update({48: 0, 49: 0})
    await world.owe((48, 5), (49, 6))
    await world.turn()
    world.transfers.balances_minor.update({48: 5, 49: 6})
    async with transaction(world.engine) as tx:
        assert await DUES.reopen_of_debtors(tx, LABEL, [48, 48, 47], world.clock.now(), 100) == 1
        assert await DUES.reopen_of_debtors(tx, 2, [49], world.clock.now(), 100) == 0
    await world.turn()
    assert await world.states() == [(PAID, ""), (REFUSED, "INSUFFICIENT_FUNDS")]


async def test_an_item_that_was_used_for_something_else_is_replaced(world):
    await world.owe((47, 5), (48, 6))
    world.transfers.foreign_items = {1}
    await world.turn()
    assert await world.states() == [(REFUSED, "DEDUPE_CONFLICT"), (PAID, "")]
    world.clock.advance(60)
    await world.turn()
    assert await world.states() == [(PAID, "")] * 2
    assert sorted(world.transfers.booked) == [2, 3]


async def test_workers_share_what_is_due(world):
    await world.owe(*((47, 1) for _ in range(50)))
    workers = [StubTransfers() for _ in range(4)]
    await asyncio.gather(*(dispatch_payments(world.engine, DUES, worker, world.clock, WAITS) for worker in workers))
    assert sorted(item for worker in workers for item in worker.waiting) == list(range(1, 51))
    assert await world.states() == [(SUBMITTED, "")] * 50


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_fails_each_is_booked_once(world, seed):
    """Workers die at any call, answers are lost, accounts are empty for a while; then all is well."""
    chance = random.Random(seed)
    owed = [(40 + chance.randrange(12), chance.randrange(1, 100)) for _ in range(60)]
    await world.owe(*owed)
    world.transfers.balances_minor = {account: chance.randrange(200) for account in range(40, 50)}

    def fail(batch) -> None:
        error = chance.choice([None, None, KillSwitchOn(), UpstreamUnavailable(service="x"), asyncio.CancelledError()])
        world.transfers.lost_answers = chance.randrange(2)
        if error is not None:
            raise error

    world.transfers.fail = fail
    for _ in range(15):
        tasks = [asyncio.create_task(world.send()) for _ in range(3)]
        if chance.random() < 0.3:
            await asyncio.sleep(0.002)
            tasks[0].cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, int | asyncio.CancelledError | DomainError), outcome
        if chance.random() < 0.6:
            message = world.transfers.book()
            for _ in range(chance.randrange(1, 3)):
                await world.tell(message)
        world.clock.advance(chance.choice([1, 20, 100]))
    world.transfers.fail, world.transfers.lost_answers = (lambda batch: None), 0
    world.transfers.balances_minor |= dict.fromkeys(range(40, 60), 1_000_000)
    for _ in range(4):
        await world.turn()
        world.clock.advance(700)
    assert await world.states() == [(PAID, "")] * len(owed)
    assert sorted((debit, amount) for debit, _, amount in world.transfers.booked.values()) == sorted(owed)
    assert world.transfers.balances_minor[PAYEE] == sum(amount for _, amount in owed)


async def test_the_loop_is_woken_and_shows_what_is_unpaid(world):
    world.transfers.balances_minor[48] = 0
    await world.owe((48, 6), (48, 7))
    await world.turn()
    dispatcher = PaymentDispatcher(world.engine, DUES, world.transfers, world.clock, WAITS)
    names = ("dues", "1", "USD", "REFUSED", "INSUFFICIENT_FUNDS")
    await dispatcher.measure()
    assert (UNPAID_MINOR.labels(*names)._value.get(), UNPAID_COUNT.labels(*names)._value.get()) == (13, 2)
    running = asyncio.create_task(dispatcher.run())
    try:
        await world.owe((47, 5))
        dispatcher.wake()
        await eventually(lambda: len(world.transfers.waiting) == 1)
    finally:
        running.cancel()
    world.transfers.balances_minor[48] = 100
    world.clock.advance(60)
    await world.turn()
    await dispatcher.measure()
    assert names not in UNPAID_MINOR._metrics
