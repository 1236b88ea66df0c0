from __future__ import annotations

import pytest

from apportion.api.allocation.v1.events_pb2 import ChildTradesClosed
from apportion.api.platform_groups.v1.events_pb2 import TransfersUpdated
from apportion.errors import MalformedMessage
from apportion.fees.domain.charge import TransferResult, TransferState
from apportion.fees.wire import parse_closed_trades, parse_transfer_results


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


def results(**changes) -> bytes:
    fields = {
        "source": "fees",
        "item_ids": [1, 2, 3, 4, 5],
        "transfer_ids": [11, 12, 13, 14, 15],
        "states": [1, 2, 3, 4, 5],
        "reason_indexes": [0, 0, 0, 1, 1],
        "reasons": ["", "NO_MONEY"],
    }
    return TransfersUpdated(**fields | changes).SerializeToString()


def test_only_ends_of_our_transfers_count():
    assert parse_transfer_results(results()) == [
        TransferResult(3, 13, TransferState.DONE, ""),
        TransferResult(4, 14, TransferState.REJECTED, "NO_MONEY"),
        TransferResult(5, 15, TransferState.REJECTED, "NO_MONEY"),
    ]
    assert parse_transfer_results(results(source="operator")) == []


@pytest.mark.parametrize(
    "changes", [{"states": [3]}, {"reason_indexes": [0, 0, 0, 0, 2]}, {"reason_indexes": [-1] * 5}]
)
def test_results_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(MalformedMessage):
        parse_transfer_results(results(**changes))
