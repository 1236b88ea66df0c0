from __future__ import annotations

import asyncio
import uuid

from fees_world import LABEL, LOT, NOW, WAITS, StubTransfers, give_terms, rows_of

from apportion.api.allocation.v1.events_pb2 import ChildTradesClosed
from apportion.api.platform_groups.v1.events_pb2 import TransfersUpdated
from apportion.events import ReceivedEvent, list_set_aside
from apportion.fees.consumers import handlers
from apportion.fees.errors import CloseChanged
from apportion.fees.storage.charges import CHARGES
from apportion.payments import PaymentDispatcher
from apportion.storage import transaction
from apportion.testing.polling import eventually


def received(message, topic: str, sequence: int) -> ReceivedEvent:
    return ReceivedEvent(
        event_id=uuid.UUID(int=sequence),
        label=LABEL,
        aggregate_type=topic,
        aggregate_id="3",
        sequence=sequence,
        type=message.DESCRIPTOR.full_name,
        occurred_time=NOW,
        partition=3,
        payload=message.SerializeToString(),
    )


def closed(child: int, deal: int, volume_e8: int = LOT) -> ChildTradesClosed:
    return ChildTradesClosed(
        master_id=3,
        currency_code="USD",
        symbol="EURUSD",
        child_trade_ids=[child],
        subscription_ids=[7],
        account_ids=[47],
        deal_tickets=[deal],
        closed_volumes_e8=[volume_e8],
        prices_e8=[1],
        server_times_ms=[5],
    )


def ended(item_id: int, state: int, reason: str = "") -> TransfersUpdated:
    return TransfersUpdated(
        source="fees", item_ids=[item_id], transfer_ids=[70], states=[state], reason_indexes=[0], reasons=[reason]
    )


async def test_a_close_becomes_a_paid_fee(engine, clock):
    """Events in, transfers out, results in: the whole way, with the dispatcher running beside it."""
    await give_terms(engine)
    transfers = StubTransfers()
    dispatcher = PaymentDispatcher(engine, CHARGES, transfers, clock, WAITS)
    apply = handlers(clock, WAITS.retry, dispatcher.wake)
    running = asyncio.create_task(dispatcher.run())

    async def deliver(message, topic: str, sequence: int) -> None:
        event = received(message, topic, sequence)
        async with transaction(engine) as tx:
            after = await apply[event.type](tx, event)
        if after is not None:
            await after()

    try:
        await deliver(closed(90, 500), "children", 1)
        await deliver(closed(90, 500), "children", 2)
        await eventually(lambda: len(transfers.items) == 1)
        await deliver(ended(1, 2), "transfers", 1)
        await deliver(ended(1, 4, "NO_MONEY"), "transfers", 2)
        assert await rows_of(engine, "SELECT state, reason FROM charges") == [(4, "NO_MONEY")]
        await deliver(closed(90, 501), "children", 3)
        await eventually(lambda: len(transfers.items) == 3)
        await deliver(ended(2, 3), "transfers", 3)
        await deliver(ended(3, 3), "transfers", 4)
        await deliver(ended(3, 3), "transfers", 5)
    finally:
        running.cancel()
    assert await rows_of(engine, "SELECT state, attempt_count FROM charges ORDER BY calculation_id") == [(3, 2), (3, 1)]
    assert sum(transfers.items.values()) == 2_100  # two fees, and the attempt that moved nothing


async def test_a_close_that_comes_again_with_another_volume_is_set_aside(engine, clock):
    await give_terms(engine)
    apply = handlers(clock, WAITS.retry, lambda: None)["apportion.api.allocation.v1.ChildTradesClosed"]
    first, again = closed(90, 500), closed(90, 500, LOT // 2)
    again.MergeFrom(closed(91, 501))
    for sequence, message in enumerate((first, first, again, again), start=1):
        async with transaction(engine) as tx:
            await apply(tx, received(message, "children", sequence))
    assert await rows_of(engine, "SELECT deal_ticket, fee_minor FROM calculations ORDER BY 1") == [
        (500, 700),
        (501, 700),
    ]
    [third, fourth] = await list_set_aside(engine)
    assert (third.sequence, fourth.sequence, third.part) == (3, 4, "deal 500 of child trade 90")
    assert CloseChanged.reason in third.error
