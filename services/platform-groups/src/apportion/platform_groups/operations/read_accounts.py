"""Questions about accounts."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.storage import accounts
from apportion.storage import transaction


async def get_account(engine: AsyncEngine, label: int, *, account_id: int = 0, login: int = 0) -> Account:
    """By id, or by login when the id is 0. Raises NotFound, LoginAmbiguous."""
    async with transaction(engine) as tx:
        if account_id:
            return await accounts.load_account(tx, label, account_id)
        return await accounts.load_account_by_login(tx, label, login)


async def list_accounts(
    engine: AsyncEngine, label: int, *, kind: int, wallet_account_id: int, after_id: int, limit: int
) -> list[Account]:
    """By id; kind or wallet 0: all."""
    async with transaction(engine) as tx:
        return await accounts.list_accounts(tx, label, kind, wallet_account_id, after_id, limit)
