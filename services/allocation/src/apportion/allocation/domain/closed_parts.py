"""What a closing deal closed of a child trade."""

from __future__ import annotations

from typing import NamedTuple


class ClosedPart(NamedTuple):
    """As it is announced: a row of ChildTradesClosed, with the master and the symbol that the event is about."""

    master_id: int
    symbol: str
    child_trade_id: int
    subscription_id: int
    account_id: int
    deal_ticket: int
    volume_e8: int
    """Of the part, above 0."""
    price_e8: int
    server_time_ms: int
