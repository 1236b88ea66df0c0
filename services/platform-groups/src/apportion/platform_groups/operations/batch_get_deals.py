"""Tell again of deals that were observed before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import server_of_all
from apportion.platform_groups.domain.states import MarginMode
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.accounts import load_accounts
from apportion.platform_groups.storage.deals import SubmittedOrder, list_deals_of_positions, load_submitted
from apportion.storage import transaction

MOST_DEALS = 2_000


@dataclass(frozen=True, slots=True)
class StoredDeals:
    trading_server_id: int
    server_time_ms: int
    """The server's time now, which the ages of the deals are measured by."""
    rows: Sequence[Any]
    """In ticket order."""
    submitted: Mapping[int, SubmittedOrder]
    """By order id, of netting accounts."""


async def batch_get_deals(
    engine: AsyncEngine,
    servers: TradingServersPort,
    label: int,
    account_ids: Sequence[int],
    position_tickets: Sequence[int],
    since_time: datetime | None,
) -> StoredDeals:
    """The newest deals of these positions, which are on one server, that were observed since then.

    Raises NotFound, ServersMixed, TradingServerUnavailable.
    """
    async with transaction(engine) as tx:
        accounts = await load_accounts(tx, label, account_ids)
        server_id = server_of_all(accounts.values())
        rows = await list_deals_of_positions(tx, label, account_ids, position_tickets, since_time, limit=MOST_DEALS)
        netted = {row["order_id"] for row in rows if accounts[row["account_id"]].margin_mode is MarginMode.NETTING}
        submitted = await load_submitted(tx, sorted(netted - {0}))
    with server_call(server_id):
        server_time_ms = await (await servers.get(server_id)).server_time_ms()
    return StoredDeals(server_id, server_time_ms, rows, submitted)
