"""Charge the trade fee on closed child trades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.fees.domain.calculation import BookedClose
from apportion.fees.domain.trade_fee import ClosedTrades, calculate_trade_fees
from apportion.fees.storage.calculations import find_changed, save_trade_fees
from apportion.fees.storage.charges import CHARGES
from apportion.fees.storage.terms import load_terms_columns

log = structlog.get_logger()

MAX_REOPENED = 5_000


@dataclass(frozen=True, slots=True)
class ChargedCloses:
    """How many payments are to be made, and what is booked of closes that came again with other figures."""

    started_count: int
    changed: Sequence[BookedClose]


async def charge_closes(
    tx: AsyncConnection, label: int, closed: ClosedTrades, *, closed_time: datetime, now: datetime
) -> ChargedCloses:
    """Calculates all rows of one event and charges them.

    The terms are those in force at `closed_time`, when allocation took note of the closes: an event that waited is
    calculated as if it had not. Old debts of the same payers come first: their new attempts have lower item ids. Each
    closing deal is calculated once, by unique key, whatever repeats the event; one that comes again with other figures
    is named and changes nothing.
    """
    reopened_count = await CHARGES.reopen_of_debtors(tx, label, closed.account_ids.tolist(), now, MAX_REOPENED)
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
    changed: list[BookedClose] = []
    if calculation_count < len(closed.deal_tickets):
        changed = await find_changed(tx, label, closed)
    return ChargedCloses(charge_count + reopened_count, changed)
