"""Wait a while for a transfer that the workers carry out."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.operations.accept_transfers import INITIAL_SOURCE
from apportion.platform_groups.operations.await_outcome import await_outcome
from apportion.platform_groups.storage.transfers import find_by_source, load_transfer
from apportion.runtime import Clock
from apportion.storage import transaction


async def await_initial_balance(
    engine: AsyncEngine, clock: Clock, account: Account, *, patience_seconds: float
) -> None:
    """Returns when the first balance of a new account is booked, or when patience ends: it is booked later then."""
    if not account.initial_balance_minor:
        return
    async with transaction(engine) as tx:
        transfer_id = await find_by_source(tx, account.label, f"{INITIAL_SOURCE}/{account.account_id}")
    if transfer_id is not None:
        await await_transfer(engine, clock, account.label, transfer_id, patience_seconds=patience_seconds)


async def await_transfer(
    engine: AsyncEngine, clock: Clock, label: int, transfer_id: int, *, patience_seconds: float
) -> Transfer:
    """The transfer when it has finished, or as it is when patience ends. Raises NotFound."""

    async def look() -> Transfer:
        async with transaction(engine) as tx:
            return await load_transfer(tx, label, transfer_id)

    return await await_outcome(clock, look, lambda transfer: transfer.finished, patience_seconds=patience_seconds)
