"""One account."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.storage.accounts import load_account, load_account_by_login
from apportion.storage import transaction


async def get_account(
    engine: AsyncEngine, label: int, *, account_id: int = 0, login: int = 0, kind: int = 0
) -> Account:
    """By id, or when that is 0 by login, among accounts of a kind (0: any). Raises NotFound, LoginAmbiguous."""
    async with transaction(engine) as tx:
        if account_id:
            return await load_account(tx, label, account_id)
        return await load_account_by_login(tx, label, login, kind)
