"""Compare the books with what a trading server shows, without waiting for an event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.positions import OrphanPolicy
from apportion.allocation.operations.ports import Positions
from apportion.allocation.storage.deviations import (
    adopt_orphans,
    compare_positions,
    forget_unwatched,
    list_watched_accounts,
    mark_left,
    take_left_accounts,
)
from apportion.errors import DomainError, NotFound
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

BATCH_ACCOUNTS = 2_000
MOST_LEAVING = 20
"""How many accounts of a batch may turn out to have left before the rest waits for the next pass."""
ACCOUNT_NOT_OPEN = "ACCOUNT_NOT_OPEN"


@dataclass(frozen=True, slots=True)
class Reconciling:
    """By what rules positions are compared."""

    confirm_seconds: float
    """Between the two reports that must agree before a deviation counts."""
    orphans: OrphanPolicy


@dataclass(slots=True)
class Pass:
    """What one look at a trading server found."""

    account_count: int = 0
    deviation_count: int = 0
    unconfirmed_count: int = 0
    adopted_count: int = 0
    """Orphans that the books have now, to be closed as everything that is too much."""

    @property
    def wants_second_look(self) -> bool:
        return self.unconfirmed_count > 0


async def reconcile_positions(
    engine: AsyncEngine,
    positions: Positions,
    label: int,
    trading_server_id: int,
    rules: Reconciling,
    *,
    lease: Lease,
    now: datetime,
) -> Pass:
    """One look at all accounts of a server that have children or subscriptions, in batches.

    Nothing is opened by it, and of what is open by the books it changes nothing but orphans. Raises the DomainError of
    platform-groups when it cannot show a complete report, and StaleEpoch; what was compared before stays.
    """
    done, after = Pass(), 0
    while True:
        async with transaction(engine) as tx:
            account_ids = await list_watched_accounts(tx, label, trading_server_id, after=after, limit=BATCH_ACCOUNTS)
        if not account_ids:
            break
        await _compare(engine, positions, label, trading_server_id, account_ids, rules, done, lease=lease, now=now)
        after = account_ids[-1]
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        await forget_unwatched(tx, label, trading_server_id)
        left = await take_left_accounts(tx, label, trading_server_id, limit=MOST_LEAVING, now=now)
    for account_id in left:
        await _compare(engine, positions, label, trading_server_id, [account_id], rules, done, lease=lease, now=now)
    return done


async def _compare(
    engine: AsyncEngine,
    positions: Positions,
    label: int,
    trading_server_id: int,
    account_ids: list[int],
    rules: Reconciling,
    done: Pass,
    *,
    lease: Lease,
    now: datetime,
) -> None:
    """One batch. An account that is not open any more would spoil the report of all: it is marked and left out."""
    asked = list(account_ids)
    for _ in range(MOST_LEAVING + 1):
        if not asked:
            return
        try:
            report = await positions.report(label, asked)
        except DomainError as error:
            gone = _account_that_left(error, asked)
            if gone is None:
                raise
            async with transaction(engine) as tx:
                await check_fence(tx, lease)
                await mark_left(tx, label, trading_server_id, gone, now=now)
            log.warning("account_left", account_id=gone, reason=error.reason)
            asked.remove(gone)
            continue
        async with transaction(engine) as tx:
            await check_fence(tx, lease)
            compared = await compare_positions(
                tx, label, trading_server_id, np.array(asked), report, confirm_seconds=rules.confirm_seconds
            )
            if compared.suspect_account_ids and rules.orphans is OrphanPolicy.CLOSE:
                done.adopted_count += await adopt_orphans(tx, label, compared.suspect_account_ids)
        done.account_count += len(asked)
        done.deviation_count += compared.deviation_count
        done.unconfirmed_count += compared.unconfirmed_count
        return
    log.warning("accounts_not_compared", count=len(asked), trading_server_id=trading_server_id)


def _account_that_left(error: DomainError, asked: list[int]) -> int | None:
    """The account that platform-groups refuses to ask for, when that is the reason."""
    if error.reason == ACCOUNT_NOT_OPEN:
        named = error.metadata.get("accountId", "")
    elif error.reason == NotFound.reason:
        named = error.metadata.get("key", "")
    else:
        return None
    return int(named) if named.isdecimal() and int(named) in asked else None
