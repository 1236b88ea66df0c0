"""Close all that is open on an account: accepted durably here, carried on by the workers until the server shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, check_closable
from apportion.platform_groups.domain.closings import FLAT_READS, Closing, may_try, source_of
from apportion.platform_groups.domain.server_facts import ServerFailure, ServerPosition
from apportion.platform_groups.domain.shards import shard_of_key
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.storage.accounts import load_account
from apportion.platform_groups.storage.closings import (
    insert_closing,
    list_running,
    live_tickets,
    load_closing,
    save_attempt,
    save_error,
    save_flat,
)
from apportion.platform_groups.storage.egress import ring_egress
from apportion.platform_groups.storage.orders import NewOrders, insert_orders
from apportion.runtime import Clock
from apportion.storage import RequestKey, claim_request, store_answer, transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

CONCURRENT_CLOSINGS = 6
"""They share the reserved connections to the server, and the database's with all others."""


@dataclass(frozen=True, slots=True)
class ClosingRef:
    """The stored answer."""

    closing_id: int


async def close_all_positions(
    engine: AsyncEngine, key: RequestKey, account_id: int, cause: str, *, now: datetime
) -> Closing:
    """Raises NotFound, AccountNotOpen. The kill switch does not stop it."""
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, ClosingRef, now=now)
        if stored is not None:
            return await load_closing(tx, key.label, stored.closing_id)
        account = await load_account(tx, key.label, account_id)
        check_closable(account)
        closing_id = await insert_closing(tx, account, cause, now)
        await ring_egress(tx, [account.trading_server_id])
        await store_answer(tx, key, ClosingRef(closing_id))
        return await load_closing(tx, key.label, closing_id)


async def advance_closings(
    engine: AsyncEngine,
    server: TradingServerPort,
    trading_server_id: int,
    leases: Sequence[Lease],
    clock: Clock,
) -> None:
    """One step of every running closing of the shards of these leases, side by side.

    Each step asks the server what is open and orders a close for every position that has none under way. Only an
    explicit, complete and empty report counts as flat, and only two in a row end the closing. What is under way is read
    before the report: a close that ends in between may have come too late for it, and its position be reported still.
    Raises StaleEpoch, with nothing written, when a lease has passed on.
    """
    lease_of = {shard_of_key(lease.key): lease for lease in leases}
    async with transaction(engine) as tx:
        running = await list_running(tx, trading_server_id, list(lease_of))
    slots = asyncio.Semaphore(CONCURRENT_CLOSINGS)

    async def advance(closing: Closing) -> None:
        async with slots:
            await _advance(engine, server, lease_of, closing, clock)

    for end in await asyncio.gather(*(advance(closing) for closing in running), return_exceptions=True):
        if isinstance(end, BaseException):
            raise end


async def _advance(
    engine: AsyncEngine, server: TradingServerPort, lease_of: Mapping[int, Lease], closing: Closing, clock: Clock
) -> None:
    async with transaction(engine) as tx:
        account = await load_account(tx, closing.label, closing.account_id)
        under_way = await live_tickets(tx, closing.closing_id)
    lease = lease_of[account.shard]
    try:
        positions = await server.positions(account.login)
    except ServerFailure as error:
        log.warning("closing_report_failed", closing_id=closing.closing_id, cause=str(error))
        async with transaction(engine) as tx:
            await check_fence(tx, lease)
            await save_error(tx, closing.closing_id, type(error).__name__)
        return
    due = [position for position in positions if position.position_ticket not in under_way]
    if due and may_try(closing, clock.now()):
        await _order_closes(engine, lease, closing, account, due, now=clock.now())
    elif not positions and not under_way:
        await _count_flat(engine, lease, closing, now=clock.now())


async def _order_closes(
    engine: AsyncEngine,
    lease: Lease,
    closing: Closing,
    account: Account,
    due: Sequence[ServerPosition],
    *,
    now: datetime,
) -> None:
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        attempt = await save_attempt(tx, closing.closing_id, now)
        nothing = np.zeros(len(due), dtype=np.int64)
        orders = NewOrders(
            label=account.label,
            source_id=source_of(closing.closing_id, attempt),
            ordering_key=account.account_id,
            purpose=OrderPurpose.CLOSE,
            not_after_time=None,
            item_ids=np.array([position.position_ticket for position in due]),
            account_ids=np.full(len(due), account.account_id),
            symbols=[position.symbol for position in due],
            volumes_e8=np.array([-position.volume_e8 for position in due]),
            position_tickets=np.array([position.position_ticket for position in due]),
            stop_losses_e8=nothing,
            take_profits_e8=nothing,
            reference_prices_e8=nothing,
            max_slippages_e8=nothing,
            closing_id=closing.closing_id,
        )
        await insert_orders(tx, orders, now)
        await ring_egress(tx, [account.trading_server_id])


async def _count_flat(engine: AsyncEngine, lease: Lease, closing: Closing, *, now: datetime) -> None:
    """Only while none of its close orders is under way, whatever the report: their answers belong to the closing."""
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        if await save_flat(tx, closing.closing_id, FLAT_READS, now):
            log.info("closing_flat", closing_id=closing.closing_id, account_id=closing.account_id)
