"""Shows the broker which owners trade, at a terminal, on accounts that are not theirs to trade."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.states import AccountAccess, AccountKind
from apportion.platform_groups.storage.account_access import list_read_only
from apportion.platform_groups.storage.deals import ObservedDeal
from apportion.storage import transaction

log = structlog.get_logger()

OWNER_DEALS = Counter(
    "apportion_platform_groups_owner_deals_total",
    "Trades made by owners themselves on investment accounts, and on any account that is read-only.",
    ["label", "trading_server", "kind", "access"],
)


async def show_owner_trades(engine: AsyncEngine, trading_server_id: int, observed: Sequence[ObservedDeal]) -> None:
    """Counts and logs them. A master may trade; an investor may where he copies; nobody may on a read-only account."""
    own = [each for each in observed if each.deal.by_client]
    if not own:
        return
    async with transaction(engine) as tx:
        read_only = await list_read_only(tx, [each.account_id for each in own])
    for each in own:
        is_locked = each.account_id in read_only
        if each.kind is not AccountKind.INVESTMENT and not is_locked:
            continue
        access = AccountAccess.READ_ONLY if is_locked else AccountAccess.FULL
        OWNER_DEALS.labels(each.label, trading_server_id, each.kind.name, access.name).inc()
        log.warning(
            "owner_traded",
            trading_server_id=trading_server_id,
            account_id=each.account_id,
            kind=each.kind.name,
            access=access.name,
            deal_ticket=each.deal.deal_ticket,
            position_ticket=each.deal.position_ticket,
            reason=each.deal.reason,
        )
