"""Charge the trade fee on closed child trades."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.fees.domain.trade_fee import ClosedTrades, calculate_trade_fees
from apportion.fees.storage.calculations import save_trade_fees
from apportion.fees.storage.charges import reopen_of_payers
from apportion.fees.storage.terms import load_terms_columns

log = structlog.get_logger()

MAX_REOPENED = 5_000


async def charge_closes(
    tx: AsyncConnection, label: int, closed: ClosedTrades, *, closed_time: datetime, now: datetime
) -> int:
    """Calculates all rows of one event and starts their transfers; how many transfers are new.

    The terms are those in force at `closed_time`, when allocation took note of the closes: an event that waited is
    calculated as if it had not. Old debts of the same payers come first: their new transfers have lower item ids. Each
    closing deal is calculated once, by unique key, whatever repeats the event.
    """
    reopened_count = await reopen_of_payers(tx, label, closed.account_ids, now, MAX_REOPENED)
    terms = await load_terms_columns(tx, label, closed.subscription_ids, closed_time)
    calculation_count, charge_count = await save_trade_fees(tx, label, calculate_trade_fees(closed, terms), now)
    log.info(
        "closes_charged",
        label=label,
        master_id=closed.master_id,
        close_count=len(closed.deal_tickets),
        calculation_count=calculation_count,
        charge_count=charge_count,
        reopened_count=reopened_count,
    )
    return charge_count + reopened_count
