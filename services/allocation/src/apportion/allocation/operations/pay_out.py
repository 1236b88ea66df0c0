"""Hand payouts to platform-groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from uuid import NAMESPACE_URL, uuid5

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.payouts import Backoff, ReadyPayout
from apportion.allocation.operations.ports import PayoutBatch, Transfers
from apportion.allocation.storage.payouts import claim_ready, mark_submitted, postpone, reopen_due
from apportion.errors import DomainError, KillSwitchOn, Kind, NotFound
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()

BATCH_ROWS = 5_000
HOLD_SECONDS = 15.0
# What platform-groups says about the items themselves, rather than about the moment.
REFUSALS = frozenset({Kind.INVALID, Kind.NOT_FOUND, Kind.ALREADY_EXISTS, Kind.PRECONDITION})


async def pay_out(engine: AsyncEngine, transfers: Transfers, clock: Clock, backoff: Backoff) -> int:
    """Sends what is due, once; returns how many payouts were claimed (0: nothing to do).

    A worker that dies lets its claim end, and an item that platform-groups has is not taken twice. A refused call ends
    no payout, for an earlier one whose answer was lost may have been accepted: the same items are sent again until an
    event tells their end.
    """
    now = clock.now()
    async with transaction(engine) as tx:
        await reopen_due(tx, now, BATCH_ROWS)
        ready = await claim_ready(tx, now, limit=BATCH_ROWS, hold_seconds=HOLD_SECONDS)
    for batch in _batches(ready):
        await _submit(engine, transfers, batch, clock, backoff)
    return len(ready)


def _batches(ready: Sequence[ReadyPayout]) -> Iterator[PayoutBatch]:
    """One for each label, master and currency, item order kept."""

    def group(payout: ReadyPayout) -> tuple[int, int, str]:
        return payout.label, payout.master_account_id, payout.currency_code

    for _, rows in groupby(sorted(ready, key=group), key=group):
        yield _batch(list(rows))


def _batch(payouts: Sequence[ReadyPayout]) -> PayoutBatch:
    first = payouts[0]
    digest = hashlib.sha256(",".join(str(payout.item_id) for payout in payouts).encode()).hexdigest()
    request_id = uuid5(NAMESPACE_URL, f"apportion/allocation/profit/{first.label}/{digest}")
    return PayoutBatch(request_id, first.label, first.master_account_id, first.currency_code, payouts)


async def _submit(
    engine: AsyncEngine, transfers: Transfers, batch: PayoutBatch, clock: Clock, backoff: Backoff
) -> None:
    """Bad items must not hold up the rest: those that a refusal is about are put off, the others are sent again."""
    waiting = [batch]
    while waiting:
        batch = waiting.pop()
        try:
            await transfers.submit(batch)
        except DomainError as error:
            blamed, others = _split(batch, error)
            waiting += map(_batch, others)
            if blamed:
                log.warning("payouts_postponed", label=batch.label, item_count=len(blamed), reason=error.reason)
                async with transaction(engine) as tx:
                    await postpone(tx, _item_ids(blamed), reason=error.reason, now=clock.now(), backoff=backoff)
        else:
            async with transaction(engine) as tx:
                await mark_submitted(tx, _item_ids(batch.payouts))


def _split(batch: PayoutBatch, error: DomainError) -> tuple[Sequence[ReadyPayout], list[Sequence[ReadyPayout]]]:
    """Whom a refusal is about, and what to send without them: all of the account that it names, or else by halves."""
    payouts = batch.payouts
    if error.kind not in REFUSALS or isinstance(error, KillSwitchOn):
        return payouts, []
    account_id = error.metadata.get("key") if isinstance(error, NotFound) else error.metadata.get("accountId")
    named = [payout for payout in payouts if account_id in (str(payout.account_id), str(payout.master_account_id))]
    if named or len(payouts) == 1:
        rest = [payout for payout in payouts if payout not in named] if named else []
        return named or payouts, [rest] if rest else []
    middle = len(payouts) // 2
    return [], [payouts[:middle], payouts[middle:]]


def _item_ids(payouts: Sequence[ReadyPayout]) -> list[int]:
    return [payout.item_id for payout in payouts]
