"""Accept orders: durable rows in bulk; the workers send them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import NotFound
from apportion.platform_groups.domain.states import OrderPurpose, OrderState
from apportion.platform_groups.errors import DedupeConflict
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.egress import ring_egress
from apportion.platform_groups.storage.events import append_orders_updated
from apportion.platform_groups.storage.kill_switches import require_released
from apportion.platform_groups.storage.orders import (
    NewOrders,
    find_conflict,
    find_missing_account,
    insert_orders,
)
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class AcceptedOrders:
    """The stored answer."""

    accepted_count: int
    known_count: int


async def submit_orders(
    engine: AsyncEngine, new_id: NewId, key: RequestKey, orders: NewOrders, *, now: datetime
) -> AcceptedOrders:
    """Items known from an earlier call are counted, not repeated; one whose account is not open is REJECTED at once.

    Raises NotFound for an account, DedupeConflict, KillSwitchOn for opens.
    """
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, AcceptedOrders, now=now)
        if stored is not None:
            return stored
        if orders.purpose is OrderPurpose.OPEN:
            await require_released(tx, orders.label)
        rows = await insert_orders(tx, orders, now)
        if len(rows) < len(orders.item_ids):
            missing = await find_missing_account(tx, orders.label, orders.account_ids)
            if missing is not None:
                raise NotFound("account", missing)
            changed = await find_conflict(tx, orders)
            if changed is not None:
                raise DedupeConflict(
                    f"{orders.source_id} item {changed} exists with other content",
                    source_id=orders.source_id,
                    item_id=changed,
                )
        await append_orders_updated(tx, [row for row in rows if row["state"] != OrderState.READY], new_id, now)
        await ring_egress(tx, [row["trading_server_id"] for row in rows])
        answer = AcceptedOrders(len(rows), len(orders.item_ids) - len(rows))
        await store_answer(tx, key, answer)
        return answer
