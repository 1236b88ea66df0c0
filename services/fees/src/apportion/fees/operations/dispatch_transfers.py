"""Hand ready transfers to platform-groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from uuid import UUID, uuid5

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError, KillSwitchOn, Kind, NotFound
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
    """Bad items must not hold up the rest: those that a refusal is about are put off, the others are sent again."""
    waiting = [batch]
    while waiting:
        batch = waiting.pop()
        try:
            await transfers.submit(batch)
        except DomainError as error:
            refused, others = _split(batch, error)
            waiting += others
            if not refused:
                continue
            log.warning("transfers_postponed", label=batch.label, item_count=len(refused), reason=error.reason)
            async with transaction(engine) as tx:
                await postpone(tx, _item_ids(refused), reason=error.reason, now=clock.now(), backoff=backoff)
        else:
            async with transaction(engine) as tx:
                await mark_submitted(tx, _item_ids(batch.transfers))


def _split(batch: TransferBatch, error: DomainError) -> tuple[Sequence[ReadyTransfer], list[TransferBatch]]:
    """Whom the error is about, and what to send without them.

    A refusal that names an account is about all its items: a closed wallet costs one call, not one for each fee it
    would have earned. A batch refused for another reason is halved until the bad items stand alone.
    """
    items = batch.transfers
    if error.kind not in REFUSALS or isinstance(error, KillSwitchOn):
        return items, []
    account_id = error.metadata.get("key" if isinstance(error, NotFound) else "accountId")
    named = [item for item in items if account_id in (str(item.payer_account_id), str(item.payee_account_id))]
    if named or len(items) == 1:
        blamed = {item.item_id for item in named or items}
        rest = [item for item in items if item.item_id not in blamed]
        return named or items, [_part(batch, rest)] if rest else []
    middle = len(items) // 2
    return [], [_part(batch, items[:middle]), _part(batch, items[middle:])]


def _part(batch: TransferBatch, items: Sequence[ReadyTransfer]) -> TransferBatch:
    return _batch(batch.label, batch.master_id, batch.currency_code, items)


def _item_ids(items: Sequence[ReadyTransfer]) -> list[int]:
    return [item.item_id for item in items]
