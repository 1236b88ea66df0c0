"""Deals as platform-groups tells them, and looks at equities as a test sets them."""

from __future__ import annotations

import uuid

from apportion.allocation.consumers import HISTORY_HANDLERS
from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.history import DAY_MS
from apportion.allocation.operations.sample_equities import sample_equities
from apportion.api.platform_groups.v1 import events_pb2
from apportion.events import ReceivedEvent
from apportion.money import E8
from apportion.rpc import set_column, to_timestamp
from apportion.storage import transaction
from apportion.storage.leases import Lease

MONDAY = 20_458
START_MS = MONDAY * DAY_MS
COLUMNS = {
    "deal_tickets": 0,
    "account_ids": 0,
    "order_tickets": 0,
    "position_tickets": 0,
    "actions": events_pb2.DEAL_ACTION_TRADE,
    "entries": 0,
    "symbol_indexes": 0,
    "volumes_e8": 0,
    "prices_e8": 0,
    "profits_minor": 0,
    "swaps_minor": 0,
    "commissions_minor": 0,
    "server_times_ms": START_MS,
    "order_ids": 0,
    "transfer_ids": 0,
    "reasons": 0,
}


def deals(house, *rows: dict, server_time_ms: int = START_MS, **more) -> events_pb2.DealsObserved:
    """Rows by the names of the columns; `server_time_ms` is when the server was asked."""
    message = events_pb2.DealsObserved(
        trading_server_id=7,
        observed_time=to_timestamp(house.clock.now()),
        server_time_ms=server_time_ms,
        symbols=["", "EURUSD"],
    )
    for name, default in COLUMNS.items():
        set_column(message, name, [{**more, **row}.get(name, default) for row in rows])
    return message


def trade(ticket: int, account: int, position: int, entry: int, lots: float, **more) -> dict:
    columns = {"deal_tickets": ticket, "account_ids": account, "position_tickets": position, "entries": entry}
    return {**columns, "volumes_e8": round(lots * E8), "symbol_indexes": 1, "prices_e8": E8, **more}


def payment(ticket: int, account: int, amount_minor: int, **more) -> dict:
    columns = {"deal_tickets": ticket, "account_ids": account, "profits_minor": amount_minor}
    return {**columns, "actions": events_pb2.DEAL_ACTION_BALANCE, **more}


async def keep(house, message, label: int = 1) -> None:
    event = ReceivedEvent(
        str(uuid.uuid4()),
        label,
        "deals",
        "7/0",
        1,
        message.DESCRIPTOR.full_name,
        house.clock.now(),
        0,
        message.SerializeToString(),
    )
    async with transaction(house.engine) as tx:
        await HISTORY_HANDLERS[event.type](tx, event)


class Server:
    """States as a test sets them."""

    def __init__(self, house) -> None:
        self._states = house.states
        self.server_time_ms = START_MS

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        found = await self._states.newest(trading_server_id)
        names = [name for name in AccountStates.__slots__ if name != "server_time_ms"]
        return AccountStates(**{name: getattr(found, name) for name in names}, server_time_ms=self.server_time_ms)


async def look(house, server: Server, lease: Lease, server_time_ms: int, **equities: int) -> None:
    server.server_time_ms = server_time_ms
    house.states.equities_minor.update({int(name[1:]): value for name, value in equities.items()})
    await sample_equities(house.engine, server, lease)
