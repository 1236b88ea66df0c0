"""What closed trades earned, by server day."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.closed_trades import ClosedTrades, TradeLedger
from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.storage.account_deals import BEFORE_ALL, load_trade_deals

STATEMENT_ROWS = 10_000
"""Deals that one statement reads of all scopes together: few enough not to hold up others while they are decoded."""
LEAST_ROWS = 100


async def load_closed_trades(tx: AsyncConnection, scopes: Sequence[HistoryScope]) -> list[ClosedTrades]:
    """Of each scope. The next deals of all scopes are read together, until none has any left."""
    ledgers = [TradeLedger() for _ in scopes]
    places = dict.fromkeys(range(len(scopes)), BEFORE_ALL)
    while places:
        numbers = list(places)
        limit = max(STATEMENT_ROWS // len(numbers), LEAST_ROWS)
        pages = await load_trade_deals(
            tx, [scopes[number] for number in numbers], after=list(places.values()), limit=limit
        )
        for number, (deals, place) in zip(numbers, pages, strict=True):
            for deal in deals:
                ledgers[number].add(deal)
            if place is None:
                del places[number]
            else:
                places[number] = place
            await asyncio.sleep(0)  # others have their turn
    return [ledger.closed_trades() for ledger in ledgers]
