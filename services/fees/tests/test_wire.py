from __future__ import annotations

import pytest

from apportion.api.allocation.v1.events_pb2 import ChildTradesClosed
from apportion.errors import MalformedMessage
from apportion.fees.wire import parse_closed_trades


def closed(**changes) -> bytes:
    fields = {
        "master_id": 3,
        "currency_code": "USD",
        "symbol": "EURUSD",
        "child_trade_ids": [90],
        "subscription_ids": [7],
        "account_ids": [47],
        "deal_tickets": [500],
        "closed_volumes_e8": [1],
        "prices_e8": [1],
        "server_times_ms": [5],
    }
    return ChildTradesClosed(**fields | changes).SerializeToString()


def test_closed_trades_become_columns():
    trades = parse_closed_trades(closed())
    assert (trades.master_id, trades.symbol, trades.deal_tickets.tolist()) == (3, "EURUSD", [500])


@pytest.mark.parametrize("changes", [{"account_ids": []}, {"closed_volumes_e8": [0]}, {"closed_volumes_e8": [-1]}])
def test_closed_trades_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(MalformedMessage):
        parse_closed_trades(closed(**changes))
