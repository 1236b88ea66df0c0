"""Tell the others of changed stops of masters' positions, each change once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import events_pb2
from apportion.platform_groups.domain.position_stops import Stops, changed_stops
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.deals import find_lasting_tickets
from apportion.platform_groups.storage.events import append_stops_observed
from apportion.platform_groups.storage.position_stops import delete_stops, load_stops, save_stops
from apportion.rpc import set_column, to_timestamp
from apportion.storage import partition_of, transaction
from apportion.storage.leases import Lease, check_fence


async def observe_stops(
    engine: AsyncEngine,
    new_id: NewId,
    lease: Lease,
    trading_server_id: int,
    label: int,
    account_ids: set[int],
    seen: Mapping[int, Stops],
    *,
    asked_time: datetime,
    now: datetime,
) -> dict[int, Stops]:
    """`seen`: the stops by position ticket of all positions that these accounts had open at `asked_time`.

    Deals are told before stops: a position whose deal was not told yet waits for the next report. One that was opened
    before anybody looked at stops begins with those it has now. Returns what is known now.
    """
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        known = await load_stops(tx, trading_server_id)
        changed = changed_stops(known, seen)
        strangers = {ticket: stops for ticket, stops in seen.items() if ticket not in known}
        told = await find_lasting_tickets(tx, trading_server_id, sorted(account_ids), list(strangers))
        begun = {ticket: replace(strangers[ticket], lasting_ticket=lasting) for ticket, lasting in told.items()}
        await save_stops(tx, trading_server_id, changed | begun, now)
        gone = [ticket for ticket, stops in known.items() if stops.account_id in account_ids and ticket not in seen]
        await delete_stops(tx, trading_server_id, gone, asked_time)
        by_partition: dict[int, list[int]] = defaultdict(list)
        for ticket, stops in changed.items():
            by_partition[partition_of(stops.account_id)].append(ticket)
        for partition, tickets in sorted(by_partition.items(), key=lambda item: str(item[0])):
            event = _event(trading_server_id, {ticket: changed[ticket] for ticket in tickets}, asked_time)
            await append_stops_observed(tx, label, event, partition, new_id, now)
        return await load_stops(tx, trading_server_id)


def _event(trading_server_id: int, stops: Mapping[int, Stops], asked_time: datetime) -> events_pb2.StopsObserved:
    event = events_pb2.StopsObserved(trading_server_id=trading_server_id, observed_time=to_timestamp(asked_time))
    set_column(event, "account_ids", [each.account_id for each in stops.values()])
    set_column(event, "position_tickets", [each.lasting_ticket or ticket for ticket, each in stops.items()])
    set_column(event, "stop_losses_e8", [each.stop_loss_e8 for each in stops.values()])
    set_column(event, "take_profits_e8", [each.take_profit_e8 for each in stops.values()])
    return event
