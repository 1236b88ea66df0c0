"""The calculation log, and the charges that come out of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.fees.domain.calculation import BookedClose, Calculation, CalculationFilter
from apportion.fees.domain.charge import SHOWN, ChargeState, FeeType
from apportion.fees.domain.trade_fee import ClosedTrades, TradeFees
from apportion.payments import PaymentState
from apportion.storage import fetch_arrays

# One statement writes the calculations that are new, and a charge for each above 0. A closing deal that was calculated
# before meets the unique key and changes nothing, whatever delivered it again.
INSERT = f"""
    WITH calculated AS (
        INSERT INTO calculations
            (label, fee_type, master_id, symbol, create_time, subscription_id, payer_account_id, payee_account_id,
             child_trade_id, deal_ticket, closed_volume_e8, currency_code, terms_version, rate_minor, fee_minor, line,
             server_time_ms)
        SELECT $1, {FeeType.TRADE:d}, $2, $3, $4, rows.*
        FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[],
                    $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], $16::bigint[]) AS rows
        ON CONFLICT ON CONSTRAINT calculations_close_key DO NOTHING
        RETURNING *
    ), charged AS (
        INSERT INTO charges
            (calculation_id, label, ordering_key, debit_account_id, credit_account_id, currency_code, amount_minor,
             state, reason, transfer_id, attempt_count, send_count, next_time)
        SELECT calculation_id, label, master_id, payer_account_id, payee_account_id, currency_code, fee_minor,
               {PaymentState.READY:d}, '', 0, 1, 0, $4
        FROM calculated WHERE fee_minor > 0 ORDER BY calculation_id
        RETURNING calculation_id
    )
    SELECT (SELECT count(*) FROM calculated) AS calculation_count, (SELECT count(*) FROM charged) AS charge_count
"""

CHANGED = f"""
    SELECT k.child_trade_id, k.deal_ticket, k.subscription_id, k.closed_volume_e8
    FROM calculations k
    JOIN unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS n (child_trade_id, deal_ticket, subscription_id, closed_volume_e8) USING (child_trade_id, deal_ticket)
    WHERE k.label = $1 AND k.fee_type = {FeeType.TRADE:d}
      AND (k.subscription_id, k.closed_volume_e8) <> (n.subscription_id, n.closed_volume_e8)
    ORDER BY k.calculation_id
"""

LIST = """
    SELECT k.calculation_id, k.fee_type, k.subscription_id, k.master_id, k.payer_account_id, k.payee_account_id,
           k.child_trade_id, k.deal_ticket, k.closed_volume_e8, k.currency_code, k.rate_minor, k.fee_minor, k.line,
           k.server_time_ms, k.create_time, c.settle_time, c.state AS payment_state,
           coalesce(c.transfer_id, 0) AS transfer_id, coalesce(c.reason, '') AS reason
    FROM calculations k LEFT JOIN charges c USING (calculation_id)
    WHERE k.label = :label AND k.calculation_id < :before {conditions}
    ORDER BY k.calculation_id DESC LIMIT :limit
"""


async def save_trade_fees(tx: AsyncConnection, label: int, fees: TradeFees, now: datetime) -> tuple[int, int]:
    """Books what is new: (calculations, charges). Repeats of a closing deal change nothing."""
    closed = fees.closed
    rows = await fetch_arrays(
        tx,
        INSERT,
        label,
        closed.master_id,
        closed.symbol,
        now,
        closed.subscription_ids,
        closed.account_ids,
        fees.payee_account_ids,
        closed.child_trade_ids,
        closed.deal_tickets,
        closed.closed_volumes_e8,
        fees.currency_codes,
        fees.terms_versions,
        fees.rates_minor,
        fees.fees_minor,
        list(fees.lines()),
        closed.server_times_ms,
    )
    return rows[0]["calculation_count"], rows[0]["charge_count"]


async def find_changed(tx: AsyncConnection, label: int, closed: ClosedTrades) -> list[BookedClose]:
    """What is booked of those closes that come with another subscription or volume now."""
    rows = await fetch_arrays(
        tx,
        CHANGED,
        label,
        closed.child_trade_ids,
        closed.deal_tickets,
        closed.subscription_ids,
        closed.closed_volumes_e8,
    )
    return [BookedClose(**row) for row in rows]


async def list_calculations(
    tx: AsyncConnection, wanted: CalculationFilter, *, before: int, limit: int
) -> list[Calculation]:
    """Newest first, from the one before `before`."""
    conditions = ""
    if wanted.master_id:
        conditions += " AND k.master_id = :master_id"
    if wanted.subscription_id:
        conditions += " AND k.subscription_id = :subscription_id"
    if wanted.charge_state is ChargeState.NOTHING_DUE:
        conditions += " AND k.fee_minor = 0"
    elif wanted.charge_state is not None:
        conditions += " AND c.label = :label AND c.state = ANY(:states) AND c.calculation_id < :before"
    values = {
        "label": wanted.label,
        "master_id": wanted.master_id,
        "subscription_id": wanted.subscription_id,
        "states": [int(state) for state, shown in SHOWN.items() if shown is wanted.charge_state],
        "before": before,
        "limit": limit,
    }
    named = {name: value for name, value in values.items() if f":{name}" in LIST + conditions}
    result = await tx.execute(text(LIST.format(conditions=conditions)), named)
    return [_calculation(dict(row._mapping)) for row in result]


def _calculation(values: dict[str, Any]) -> Calculation:
    payment_state = values.pop("payment_state")
    shown = ChargeState.NOTHING_DUE if payment_state is None else SHOWN[PaymentState(payment_state)]
    return Calculation(**values | {"fee_type": FeeType(values["fee_type"]), "charge_state": shown})
