"""Hand payments over to platform-groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.payments.metrics import UnpaidGauges
from apportion.payments.payment import PaymentBatch, PaymentResults, PaymentState
from apportion.payments.payments import Payments
from apportion.payments.settings import Waits
from apportion.payments.transfers import Transfers
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()

BATCH_ROWS = 5_000
HOLD_SECONDS = 15.0
MEASURE_SECONDS = 15.0
ITEM_TAKEN = "DEDUPE_CONFLICT"


async def dispatch_payments(
    engine: AsyncEngine, payments: Payments, transfers: Transfers, clock: Clock, waits: Waits
) -> int:
    """Hands over what is due, once; returns how many payments were claimed (0: nothing to do).

    A worker that dies lets its claim end, and an item that platform-groups has is not taken twice. A call that fails
    ends no payment, for an earlier one whose answer was lost may have been accepted: the same items are sent again
    until they are accepted or an event tells their end.
    """
    batches = await _claim(engine, payments, clock.now())
    for batch in batches:
        await _submit(engine, payments, transfers, batch, clock, waits)
    return _count(batches)


async def _claim(engine: AsyncEngine, payments: Payments, now: datetime) -> list[PaymentBatch]:
    """New payments first; refused ones come up again where they leave room, so that no backlog is read for nothing."""
    async with transaction(engine) as tx:
        batches = await payments.claim_ready(tx, now, limit=BATCH_ROWS, hold_seconds=HOLD_SECONDS)
        room = BATCH_ROWS - _count(batches)
        if room and await payments.reopen_due(tx, now, room):
            batches += await payments.claim_ready(tx, now, limit=room, hold_seconds=HOLD_SECONDS)
    return batches


def _count(batches: Iterable[PaymentBatch]) -> int:
    return sum(len(batch.item_ids) for batch in batches)


async def _submit(
    engine: AsyncEngine, payments: Payments, transfers: Transfers, batch: PaymentBatch, clock: Clock, waits: Waits
) -> None:
    try:
        taken = await transfers.submit(batch)
    except DomainError as error:
        log.warning(
            "payments_postponed", source=payments.source, label=batch.label, count=len(batch.item_ids),
            reason=error.reason,
        )  # fmt: skip
        async with transaction(engine) as tx:
            now = clock.now()
            await payments.postpone(tx, batch.item_ids, reason=error.reason, now=now, resend=waits.resend)
        return
    async with transaction(engine) as tx:
        if taken:
            log.error("payment_items_taken", source=payments.source, label=batch.label, item_ids=list(taken))
            await payments.settle(tx, batch.label, _taken(taken), now=clock.now(), retry=waits.retry)
        await payments.mark_submitted(tx, batch.item_ids)


def _taken(item_ids: Iterable[int]) -> PaymentResults:
    """These items are somebody else's transfers: nothing moved under them for us, and the next attempt is another."""
    items = list(item_ids)
    count = len(items)
    return PaymentResults(items, [0] * count, [PaymentState.REFUSED] * count, [ITEM_TAKEN] * count)


class PaymentDispatcher:
    """The loop that keeps payments moving. Any number of workers may run one: each payment is claimed by one."""

    def __init__(
        self, engine: AsyncEngine, payments: Payments, transfers: Transfers, clock: Clock, waits: Waits
    ) -> None:
        self._engine = engine
        self._payments = payments
        self._transfers = transfers
        self._clock = clock
        self._waits = waits
        self._woken = asyncio.Event()
        self._gauges = UnpaidGauges(payments.source)

    def wake(self) -> None:
        """Payments were committed."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; a failure of the database ends it, and its supervisor starts it again."""
        measured = -MEASURE_SECONDS
        while True:
            self._woken.clear()
            while await dispatch_payments(self._engine, self._payments, self._transfers, self._clock, self._waits):
                pass
            if self._clock.monotonic() - measured >= MEASURE_SECONDS:
                await self.measure()
                measured = self._clock.monotonic()
            try:
                async with asyncio.timeout(self._waits.pause_seconds):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def measure(self) -> None:
        """Show what is not booked."""
        async with transaction(self._engine) as tx:
            sums = await self._payments.sum_unpaid(tx)
        self._gauges.show(sums)
