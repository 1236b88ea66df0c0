"""Accounts of a label."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.storage import accounts
from apportion.storage import transaction


async def list_accounts(
    engine: AsyncEngine, label: int, *, kind: int, wallet_account_id: int, after_id: int, limit: int
) -> list[Account]:
    """By id; kind or wallet 0: all."""
    async with transaction(engine) as tx:
        return await accounts.list_accounts(tx, label, kind, wallet_account_id, after_id, limit)
