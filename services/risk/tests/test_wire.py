from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apportion.api.platform_groups.v1.events_pb2 import AccountStates, DealsObserved, Ticks
from apportion.errors import MalformedMessage
from apportion.risk.wire import parse_deals, parse_states_weather, parse_ticks_weather
from apportion.rpc import to_timestamp

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def deals(**changes) -> bytes:
    fields = {
        "deal_tickets": [1, 2, 3, 4],
        "account_ids": [43, 43, 44, 43],
        "actions": [1, 2, 3, 1],
        "profits_minor": [-100, 500, 70, 0],
        "swaps_minor": [-3, 0, 0, 0],
        "commissions_minor": [-7, 0, 0, 0],
        "server_times_ms": [10, 20, 30, 40],
    }
    return DealsObserved(**fields | changes).SerializeToString()


def test_deals_that_moved_money_are_kept_by_kind():
    observed = parse_deals(deals())
    assert observed.account_ids.tolist() == [43, 43, 44]
    assert observed.deals.tickets.tolist() == [1, 2, 3]
    assert observed.deals.balances_minor.tolist() == [-110, 500, 0]
    assert observed.deals.credits_minor.tolist() == [0, 0, 70]
    assert observed.deals.flows_minor.tolist() == [0, 500, 70]


def test_deals_that_do_not_fit_together_are_refused():
    with pytest.raises(MalformedMessage):
        parse_deals(deals(swaps_minor=[0]))


def test_account_states_are_sorted():
    message = AccountStates(
        observed_time=to_timestamp(NOW),
        server_time_ms=5,
        account_ids=[44, 43],
        balances_minor=[2, 1],
        credits_minor=[0, 0],
        equities_minor=[20, 10],
    )
    snapshot = parse_states_weather(message.SerializeToString())
    assert (snapshot.version, snapshot.observed_time) == (1_767_571_200_000_000, NOW)
    assert (snapshot.equity_minor(43), snapshot.equity_minor(42), snapshot.equity_minor(45)) == (10, None, None)
    assert (snapshot.account_ids.tolist(), snapshot.equities_minor.tolist()) == ([43, 44], [10, 20])
    message.equities_minor.append(1)
    with pytest.raises(MalformedMessage):
        parse_states_weather(message.SerializeToString())


def test_ticks_become_prices():
    prices = {"symbols": ["EURUSD"], "bids_e8": [1], "asks_e8": [2], "server_times_ms": [3]}
    message = Ticks(observed_time=to_timestamp(NOW), server_time_ms=4, **prices)
    known = parse_ticks_weather(message.SerializeToString())
    (price,) = known.prices
    assert (known.observed_time, known.server_time_ms) == (NOW, 4)
    assert (price.symbol, price.bid_e8, price.ask_e8, price.server_time_ms) == ("EURUSD", 1, 2, 3)
    message.symbols.append("USDJPY")
    with pytest.raises(MalformedMessage):
        parse_ticks_weather(message.SerializeToString())


@pytest.mark.parametrize("parse", [parse_states_weather, parse_ticks_weather])
def test_bytes_that_are_no_message_are_malformed(parse):
    with pytest.raises(MalformedMessage):
        parse(b"\xff\xff")
