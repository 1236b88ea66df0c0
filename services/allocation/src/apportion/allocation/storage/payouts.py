"""Payouts: the payments of this service, one for each share of a distribution that is not 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.distributions import Distribution, Holders, Shares
from apportion.allocation.domain.payouts import Payout, UnpaidSum
from apportion.allocation.storage.profit_tables import payouts
from apportion.money import Int64Array
from apportion.payments import Payments, PaymentState
from apportion.storage import copy_rows, fetch_arrays

PAYOUTS = Payments(payouts, source="allocation/profit")

LOAD = """
    SELECT subscription_id, state, reason, transfer_id, attempt_count FROM payouts
    WHERE label = $1 AND allocation_id = $2 AND subscription_id = ANY($3::bigint[])
"""
# The ordering key is the master's account: what it pays is above 0.
SIGNED = "CASE WHEN debit_account_id = ordering_key THEN amount_minor ELSE -amount_minor END"
WRITTEN_OFF = f"state = {PaymentState.WRITTEN_OFF:d}"
UNPAID = f"""
    SELECT allocation_id,
           count(*) FILTER (WHERE NOT {WRITTEN_OFF}) AS unpaid_count,
           count(*) FILTER (WHERE state = {PaymentState.REFUSED:d}) AS refused_count,
           coalesce(sum({SIGNED}) FILTER (WHERE NOT {WRITTEN_OFF}), 0)::bigint AS unpaid_minor,
           count(*) FILTER (WHERE {WRITTEN_OFF}) AS written_off_count,
           coalesce(sum({SIGNED}) FILTER (WHERE {WRITTEN_OFF}), 0)::bigint AS written_off_minor
    FROM payouts
    WHERE label = $1 AND allocation_id = ANY($2::bigint[]) AND state <> {PaymentState.PAID:d}
    GROUP BY allocation_id
"""
UNPAID_OF_MASTER = f"""
    SELECT coalesce(sum({SIGNED}), 0)::bigint AS unpaid_minor FROM payouts
    WHERE label = $1 AND ordering_key = $2 AND state IN (1, 2, 4)
"""


async def insert_payouts(
    tx: AsyncConnection, distribution: Distribution, master_account_id: int, holders: Holders, shares: Shares
) -> None:
    """Makes the payouts of a new distribution, due at once."""
    totals_minor = shares.totals_minor
    rows = np.flatnonzero(totals_minor)
    if not rows.size:
        return
    amounts_minor, account_ids = totals_minor[rows], holders.account_ids[rows]
    await copy_rows(
        tx,
        payouts,
        {
            "allocation_id": distribution.allocation_id,
            "subscription_id": holders.subscription_ids[rows],
            "label": distribution.label,
            "ordering_key": master_account_id,
            "debit_account_id": np.where(amounts_minor > 0, master_account_id, account_ids),
            "credit_account_id": np.where(amounts_minor > 0, account_ids, master_account_id),
            "currency_code": distribution.currency_code,
            "amount_minor": np.abs(amounts_minor),
            "state": int(PaymentState.READY),
            "reason": "",
            "transfer_id": 0,
            "attempt_count": 1,
            "send_count": 0,
            "next_time": distribution.distribute_time,
        },
    )


async def load_payouts(
    tx: AsyncConnection, label: int, allocation_id: int, subscription_ids: Int64Array
) -> dict[int, Payout]:
    """Of some subscriptions of a distribution, by their ids; who has no share has none."""
    rows = await fetch_arrays(tx, LOAD, label, allocation_id, subscription_ids)
    return {
        row["subscription_id"]: Payout(
            PaymentState(row["state"]), row["reason"], row["transfer_id"], row["attempt_count"]
        )
        for row in rows
    }


async def sum_unpaid(tx: AsyncConnection, label: int, allocation_ids: Sequence[int]) -> dict[int, UnpaidSum]:
    """What is not booked of these distributions; those that are booked whole are left out."""
    rows = await fetch_arrays(tx, UNPAID, label, allocation_ids)
    return {row["allocation_id"]: UnpaidSum(*tuple(row)[1:]) for row in rows}


async def sum_unpaid_of_master(tx: AsyncConnection, label: int, master_account_id: int) -> int:
    """Signed: above 0 is to be paid to investors."""
    (row,) = await fetch_arrays(tx, UNPAID_OF_MASTER, label, master_account_id)
    unpaid_minor: int = row["unpaid_minor"]
    return unpaid_minor
