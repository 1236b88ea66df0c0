"""Deals that were observed are told again as their events told them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apportion.api.platform_groups.v1 import accounts_pb2, deals_pb2, events_pb2
from apportion.errors import DomainError
from apportion.rpc import to_timestamp
from apportion.testing.polling import eventually

LOT = 100_000_000
DEALS = "apportion.api.platform_groups.v1.DealsObserved"
PER_DEAL = [
    field.name
    for field in events_pb2.DealsObserved.DESCRIPTOR.fields
    if field.is_repeated and "symbol" not in field.name
]


def rows(deals: events_pb2.DealsObserved) -> dict[int, dict[str, object]]:
    """Every column of every deal, by ticket; the index of a text as the text."""
    found = {}
    for row, ticket in enumerate(deals.deal_tickets):
        columns = {name: getattr(deals, name) for name in PER_DEAL if name != "order_sources"}
        values = {name: values[row] if values else 0 for name, values in columns.items()}
        values["symbol"] = deals.symbols[deals.symbol_indexes[row]]
        if values["entries"] != events_pb2.DEAL_ENTRY_IN:  # stops matter where a position begins
            values |= {"stop_losses_e8": 0, "take_profits_e8": 0}
        source = values.pop("order_source_indexes")
        values["order_source"] = deals.order_sources[source] if source else ""
        found[ticket] = values
    return found


async def observed(platform) -> dict[int, dict[str, object]]:
    found = {}
    for type_, payload in await platform.events("deals"):
        if type_ == DEALS:
            found |= rows(events_pb2.DealsObserved.FromString(payload))
    return found


async def told(platform, positions, **more) -> events_pb2.DealsObserved:
    request = deals_pb2.BatchGetDealsRequest(
        account_ids=[account_id for account_id, _ in positions], position_tickets=[ticket for _, ticket in positions]
    )
    request.MergeFrom(deals_pb2.BatchGetDealsRequest(**more))
    return (await platform.deals.BatchGetDeals(request, **platform.options())).deals


async def test_deals_are_told_again_as_they_were(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        before = datetime.now(UTC)
        wallet = await platform.account(balance_minor=10_000_000)
        kind = accounts_pb2.ACCOUNT_KIND_MASTER
        master = await platform.account(kind=kind, wallet=wallet.account_id, balance_minor=10_000_000)
        await platform.add_group("netting", "demo\\forex-netting-usd")
        netting = await platform.account(balance_minor=10_000_000)
        opened = int((await simulator.buy(master.login, "EURUSD", "0.30", sl="1.00000"))["PositionID"])
        await simulator.close_position(master.login, opened, "0.10")
        other = int((await simulator.sell(master.login, "USDJPY", "0.20"))["PositionID"])
        await platform.submit("net", [(netting.account_id, LOT)])
        net = (await platform.finished("net")).position_tickets[0]
        positions = [(master.account_id, opened), (netting.account_id, net)]

        async def all_are() -> bool:
            return len((await told(platform, positions)).deal_tickets) == 3

        await eventually(all_are, 60)
        deals, events = await told(platform, positions), await observed(platform)
        again = rows(deals)
        assert list(again) == sorted(again)
        assert again == {ticket: events[ticket] for ticket in again}
        assert {values["order_source"] for values in again.values()} == {"", "net"}
        assert 100_000_000 in {values["stop_losses_e8"] for values in again.values()}
        assert max(deals.server_times_ms) < deals.server_time_ms + 1_000, "the server's clock counts whole seconds"
        assert set((await told(platform, [(master.account_id, other)])).position_tickets) == {other}
        assert not (await told(platform, [(wallet.account_id, opened)])).deal_tickets, "of another account"
        assert len((await told(platform, positions, since_time=to_timestamp(before))).deal_tickets) == 3
        assert not (await told(platform, positions, since_time=to_timestamp(datetime.now(UTC)))).deal_tickets
        for wrong, reason in (([], "FIELD_INVALID"), ([(999_999, 1)], "NOT_FOUND")):
            with pytest.raises(DomainError) as refused:
                await told(platform, wrong)
            assert refused.value.reason == reason
