"""Hand ready transfers to platform-groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from uuid import UUID, uuid5

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError, KillSwitchOn, Kind
from apportion.fees.domain.charge import Backoff, ReadyTransfer
from apportion.fees.operations.ports import TransferBatch, Transfers
from apportion.fees.storage.charges import claim_ready, mark_submitted, postpone, reopen_due
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()

NAMESPACE = UUID("6a1f4c0e-6d0b-4d3b-9a57-6f1f0f6c2a11")
BATCH_ROWS = 5_000
HOLD_SECONDS = 15.0
# What platform-groups says about the items themselves, rather than about the moment.
REFUSALS = frozenset({Kind.INVALID, Kind.NOT_FOUND, Kind.ALREADY_EXISTS, Kind.PRECONDITION})


async def dispatch_transfers(engine: AsyncEngine, transfers: Transfers, clock: Clock, backoff: Backoff) -> int:
    """Sends what is due, once; returns how many transfers were claimed (0: nothing to do).

    Sent is not lost: the claim ends by itself, and an item that platform-groups already has is not taken twice. A
    refused call never ends a transfer, for an earlier call whose answer was lost may have been accepted: the same
    items are sent again until an event tells their end.
    """
    now = clock.now()
    async with transaction(engine) as tx:
        await reopen_due(tx, now, BATCH_ROWS)
        ready = await claim_ready(tx, now, limit=BATCH_ROWS, hold_seconds=HOLD_SECONDS)
    for batch in batches(ready):
        await _submit(engine, transfers, batch, clock, backoff)
    return len(ready)


def batches(ready: Sequence[ReadyTransfer]) -> Iterator[TransferBatch]:
    """One batch for each label, master and currency, item order kept."""

    def group(transfer: ReadyTransfer) -> tuple[int, int, str]:
        return transfer.label, transfer.master_id, transfer.currency_code

    for (label, master_id, currency_code), rows in groupby(sorted(ready, key=group), key=group):
        yield _batch(label, master_id, currency_code, list(rows))


def _batch(label: int, master_id: int, currency_code: str, transfers: Sequence[ReadyTransfer]) -> TransferBatch:
    items = ",".join(str(transfer.item_id) for transfer in transfers)
    digest = hashlib.sha256(items.encode()).hexdigest()
    return TransferBatch(
        request_id=uuid5(NAMESPACE, f"{label}/{digest}"),
        label=label,
        master_id=master_id,
        currency_code=currency_code,
        transfers=transfers,
    )


async def _submit(
    engine: AsyncEngine, transfers: Transfers, batch: TransferBatch, clock: Clock, backoff: Backoff
) -> None:
    item_ids = [transfer.item_id for transfer in batch.transfers]
    try:
        await transfers.submit(batch)
    except DomainError as error:
        if len(item_ids) > 1 and error.kind in REFUSALS and not isinstance(error, KillSwitchOn):
            await _submit_halves(engine, transfers, batch, clock, backoff)
            return
        log.warning("transfers_postponed", label=batch.label, item_count=len(item_ids), reason=error.reason)
        async with transaction(engine) as tx:
            await postpone(tx, item_ids, reason=error.reason, now=clock.now(), backoff=backoff)
        return
    async with transaction(engine) as tx:
        await mark_submitted(tx, item_ids)


async def _submit_halves(
    engine: AsyncEngine, transfers: Transfers, batch: TransferBatch, clock: Clock, backoff: Backoff
) -> None:
    """One bad item must not hold up the rest: the refused batch is halved until the bad ones stand alone."""
    middle = len(batch.transfers) // 2
    for part in (batch.transfers[:middle], batch.transfers[middle:]):
        half = _batch(batch.label, batch.master_id, batch.currency_code, part)
        await _submit(engine, transfers, half, clock, backoff)
