"""Single transfers: accepted durably, then waited for as long as the caller can."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.errors import AmountRange
from apportion.platform_groups.operations.accept_transfers import DirectTransfer, accept_transfer
from apportion.platform_groups.operations.await_transfer import await_transfer
from apportion.runtime import Clock
from apportion.storage import RequestKey


async def transfer_funds(
    engine: AsyncEngine, clock: Clock, key: RequestKey, transfer: DirectTransfer, *, patience_seconds: float
) -> Transfer:
    """The transfer as far as it came; PENDING or DEBITED says that it goes on. Raises what `accept_transfer` does."""
    transfer_id = await accept_transfer(engine, key, transfer, now=clock.now())
    return await await_transfer(engine, clock, key.label, transfer_id, patience_seconds=patience_seconds)


async def adjust_balance(
    engine: AsyncEngine,
    clock: Clock,
    key: RequestKey,
    account_id: int,
    amount_minor: int,
    *,
    currency_code: str,
    cause: str,
    patience_seconds: float,
) -> Transfer:
    """Against the broker: a deposit above 0, a withdrawal below. Raises AmountRange for 0."""
    if amount_minor == 0:
        raise AmountRange("amount 0 changes nothing", amount_minor=0)
    transfer = DirectTransfer(
        debit_account_id=account_id if amount_minor < 0 else 0,
        credit_account_id=account_id if amount_minor > 0 else 0,
        currency_code=currency_code,
        amount_minor=abs(amount_minor),
        cause=cause,
    )
    return await transfer_funds(engine, clock, key, transfer, patience_seconds=patience_seconds)
