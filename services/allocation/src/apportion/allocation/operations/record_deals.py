"""Keep the history of masters' and followers' accounts."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.history import AccountDeals
from apportion.allocation.storage.account_deals import keep_account_deals, keep_own_transfers
from apportion.money import Int64Array

OWN_SOURCES = frozenset({"fees", "allocation/profit"})
"""Whose transfers are results of trading: fees, and shares of a master's profit."""


async def record_deals(tx: AsyncConnection, label: int, deals: AccountDeals) -> None:
    """Exactly once: a deal is known by its account and ticket."""
    if deals.account_ids.size:
        await keep_account_deals(tx, label, deals)


async def record_transfers(tx: AsyncConnection, label: int, source: str, transfer_ids: Int64Array) -> None:
    """Notes transfers that are results of trading; others, deposits and withdrawals, are skipped."""
    if source in OWN_SOURCES and transfer_ids.size:
        await keep_own_transfers(tx, label, source, transfer_ids)
