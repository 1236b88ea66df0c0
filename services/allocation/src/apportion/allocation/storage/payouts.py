"""Payouts: one transfer for each share of a distribution that is not 0, until it is booked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.distributions import Distribution, Holders, Shares
from apportion.allocation.domain.payouts import Backoff, Payout, PayoutResult, PayoutState, ReadyPayout, UnpaidSum
from apportion.allocation.storage.profit_tables import payouts
from apportion.money import Int64Array
from apportion.storage import copy_rows, fetch_arrays

# The transfer before moved nothing, as its result told; the next attempt is another item.
REOPEN = f"""
    WITH due AS (
        SELECT allocation_id, subscription_id FROM payouts
        WHERE state = {PayoutState.REFUSED:d} AND next_time <= $1
        ORDER BY next_time, allocation_id, subscription_id LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    UPDATE payouts AS p
    SET state = {PayoutState.READY:d}, item_id = nextval('payout_items_seq'), attempt_count = p.attempt_count + 1,
        send_count = 0, next_time = $1
    FROM due WHERE (p.allocation_id, p.subscription_id) = (due.allocation_id, due.subscription_id)
"""
# Taking a payout hides it from other workers for a while; a worker that dies lets it reappear.
CLAIM = f"""
    WITH ready AS (
        SELECT item_id FROM payouts WHERE state = {PayoutState.READY:d} AND next_time <= $1
        ORDER BY item_id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE payouts AS p SET send_count = p.send_count + 1, next_time = $3
        FROM ready WHERE p.item_id = ready.item_id
        RETURNING p.item_id, p.label, p.master_account_id, p.account_id, p.currency_code, p.amount_minor
    )
    SELECT * FROM claimed ORDER BY item_id
"""
LOCKED = "(SELECT item_id FROM payouts WHERE item_id = ANY($1::bigint[]) ORDER BY item_id FOR UPDATE) AS known"
SUBMITTED = f"""
    UPDATE payouts AS p SET state = {PayoutState.SUBMITTED:d}, reason = '', next_time = NULL
    FROM {LOCKED} WHERE p.item_id = known.item_id AND p.state = {PayoutState.READY:d}
"""
WAIT = "make_interval(secs => least($3::float8 * 2 ^ least({count} - 1, 30), $4::float8))"
POSTPONE = f"""
    UPDATE payouts AS p SET reason = $5, next_time = $2::timestamptz + {WAIT.format(count="p.send_count")}
    FROM {LOCKED} WHERE p.item_id = known.item_id AND p.state = {PayoutState.READY:d}
"""
SETTLE = f"""
    WITH known AS (
        SELECT news.* FROM payouts JOIN unnest($6::bigint[], $7::bigint[], $8::smallint[], $9::text[])
            AS news (item_id, new_transfer_id, new_state, new_reason) USING (item_id)
        WHERE label = $1 AND state IN ({PayoutState.READY:d}, {PayoutState.SUBMITTED:d})
        ORDER BY item_id FOR UPDATE OF payouts
    )
    UPDATE payouts AS p
    SET state = new_state, transfer_id = new_transfer_id, reason = new_reason,
        settle_time = CASE WHEN new_state = $5 THEN $2::timestamptz END,
        next_time = CASE WHEN new_state <> $5 THEN $2::timestamptz + {WAIT.format(count="p.attempt_count")} END
    FROM known WHERE p.item_id = known.item_id
    RETURNING p.state
"""
LOAD = """
    SELECT subscription_id, amount_minor, state, reason, transfer_id, attempt_count FROM payouts
    WHERE label = $1 AND allocation_id = $2 AND subscription_id = ANY($3::bigint[])
"""
UNPAID = f"""
    SELECT allocation_id, count(*) AS unpaid_count,
           count(*) FILTER (WHERE state = {PayoutState.REFUSED:d}) AS refused_count,
           sum(amount_minor)::bigint AS unpaid_minor
    FROM payouts
    WHERE label = $1 AND allocation_id = ANY($2::bigint[]) AND state <> {PayoutState.PAID:d}
    GROUP BY allocation_id
"""


async def insert_payouts(
    tx: AsyncConnection, distribution: Distribution, master_account_id: int, holders: Holders, shares: Shares
) -> int:
    """Makes the payouts of a new distribution, due at once. Returns how many."""
    totals_minor = shares.totals_minor
    rows = np.flatnonzero(totals_minor)
    if not rows.size:
        return 0
    await copy_rows(
        tx,
        payouts,
        {
            "allocation_id": distribution.allocation_id,
            "subscription_id": holders.subscription_ids[rows],
            "label": distribution.label,
            "master_account_id": master_account_id,
            "account_id": holders.account_ids[rows],
            "currency_code": distribution.currency_code,
            "amount_minor": totals_minor[rows],
            "state": int(PayoutState.READY),
            "reason": "",
            "transfer_id": 0,
            "attempt_count": 1,
            "send_count": 0,
            "next_time": distribution.distribute_time,
        },
    )
    return int(rows.size)


async def reopen_due(tx: AsyncConnection, now: datetime, limit: int) -> None:
    """Starts the next attempt at refused payouts whose wait is over."""
    await fetch_arrays(tx, REOPEN, now, limit)


async def claim_ready(tx: AsyncConnection, now: datetime, *, limit: int, hold_seconds: float) -> list[ReadyPayout]:
    """Payouts to send now, oldest first; no other worker gets them for `hold_seconds`."""
    rows = await fetch_arrays(tx, CLAIM, now, limit, now + timedelta(seconds=hold_seconds))
    return [ReadyPayout(**row) for row in rows]


async def mark_submitted(tx: AsyncConnection, item_ids: Sequence[int]) -> None:
    """platform-groups has them durably. Those that ended in the meantime stay ended."""
    await fetch_arrays(tx, SUBMITTED, item_ids)


async def postpone(
    tx: AsyncConnection, item_ids: Sequence[int], *, reason: str, now: datetime, backoff: Backoff
) -> None:
    """Not accepted, or not known to be: the same items are sent again later, and show the reason."""
    await fetch_arrays(tx, POSTPONE, item_ids, now, backoff.first_seconds, backoff.longest_seconds, reason)


async def settle(
    tx: AsyncConnection, label: int, results: Sequence[PayoutResult], *, now: datetime, backoff: Backoff
) -> tuple[int, int]:
    """Ends attempts: how many became (PAID, REFUSED). A repeat moves nothing."""
    rows = await fetch_arrays(
        tx,
        SETTLE,
        label,
        now,
        backoff.first_seconds,
        backoff.longest_seconds,
        PayoutState.PAID,
        [result.item_id for result in results],
        [result.transfer_id for result in results],
        [result.state for result in results],
        [result.reason for result in results],
    )
    paid_count = sum(row["state"] == PayoutState.PAID for row in rows)
    return paid_count, len(rows) - paid_count


async def load_payouts(
    tx: AsyncConnection, label: int, allocation_id: int, subscription_ids: Int64Array
) -> dict[int, Payout]:
    """Of some subscriptions of a distribution, by their ids; who has no share has none."""
    rows = await fetch_arrays(tx, LOAD, label, allocation_id, subscription_ids)
    return {row["subscription_id"]: _payout(row) for row in rows}


async def sum_unpaid(tx: AsyncConnection, label: int, allocation_ids: Sequence[int]) -> dict[int, UnpaidSum]:
    """What is not booked yet of these distributions; those without any are left out."""
    rows = await fetch_arrays(tx, UNPAID, label, allocation_ids)
    return {
        row["allocation_id"]: UnpaidSum(row["unpaid_count"], row["refused_count"], row["unpaid_minor"]) for row in rows
    }


def _payout(row: Any) -> Payout:
    return Payout(**{name: row[name] for name in Payout.__slots__ if name != "state"}, state=PayoutState(row["state"]))
