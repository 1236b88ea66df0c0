"""Questions about orders, positions, closings and transfers."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import check_open
from apportion.platform_groups.domain.closings import Closing
from apportion.platform_groups.domain.server_facts import ServerPosition
from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage import transfers
from apportion.platform_groups.storage.accounts import load_account
from apportion.platform_groups.storage.closings import load_closing
from apportion.platform_groups.storage.orders import list_by_source
from apportion.storage import transaction


async def list_orders(engine: AsyncEngine, label: int, source_id: str, *, after_item_id: int, limit: int) -> list[Any]:
    """Result rows of one source, by item id."""
    async with transaction(engine) as tx:
        return await list_by_source(tx, label, source_id, after_item_id, limit)


async def list_positions(
    engine: AsyncEngine, servers: TradingServersPort, label: int, account_id: int
) -> list[ServerPosition]:
    """Asked of the server itself, by ticket. Raises NotFound, AccountNotOpen, TradingServerUnavailable."""
    async with transaction(engine) as tx:
        account = await load_account(tx, label, account_id)
    check_open(account)
    with server_call(account.trading_server_id):
        found = await (await servers.get(account.trading_server_id)).positions(account.login)
    return sorted(found, key=lambda position: position.position_ticket)


async def get_closing(engine: AsyncEngine, label: int, closing_id: int) -> Closing:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await load_closing(tx, label, closing_id)


async def get_transfer(engine: AsyncEngine, label: int, transfer_id: int) -> Transfer:
    """Raises NotFound."""
    async with transaction(engine) as tx:
        return await transfers.load_transfer(tx, label, transfer_id)


async def list_transfers(
    engine: AsyncEngine, label: int, account_id: int, *, after_id: int, limit: int
) -> list[Transfer]:
    """By id; account 0: of all accounts."""
    async with transaction(engine) as tx:
        return await transfers.list_transfers(tx, label, account_id, after_id, limit)
