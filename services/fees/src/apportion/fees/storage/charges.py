"""Charges, and the transfers that collect them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.fees.domain.charge import Backoff, ChargeState, ReadyTransfer, TransferResult, TransferState
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

# A row that another worker is at is left to it.
REOPEN = f"""
    WITH due AS (
        SELECT calculation_id FROM charges
        WHERE state = {ChargeState.OUTSTANDING:d} AND {{condition}}
        ORDER BY calculation_id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), opened AS (
        UPDATE charges SET state = {ChargeState.PENDING:d}, attempt_count = attempt_count + 1, next_attempt_time = NULL
        FROM due WHERE charges.calculation_id = due.calculation_id
        RETURNING charges.calculation_id, label, attempt_count
    )
    INSERT INTO transfers
        (calculation_id, attempt, label, state, transfer_id, reason, send_count, next_send_time, create_time)
    SELECT calculation_id, attempt_count, label, {TransferState.READY:d}, 0, '', 0, $1, $1
    FROM opened ORDER BY calculation_id
    RETURNING item_id
"""
REOPEN_DUE = REOPEN.format(condition="next_attempt_time <= $1")
REOPEN_OF_PAYERS = REOPEN.format(condition="label = $3 AND payer_account_id = ANY($4::bigint[])")

# Taking a transfer hides it from other workers for a while; a worker that dies lets it reappear.
CLAIM = f"""
    WITH ready AS (
        SELECT item_id FROM transfers
        WHERE state = {TransferState.READY:d} AND next_send_time <= $1
        ORDER BY item_id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE transfers SET send_count = send_count + 1, next_send_time = $3
        FROM ready WHERE transfers.item_id = ready.item_id
        RETURNING transfers.item_id, calculation_id
    )
    SELECT item_id, label, master_id, currency_code, payer_account_id, payee_account_id, amount_minor
    FROM claimed JOIN charges USING (calculation_id) ORDER BY item_id
"""
SUBMITTED = f"""
    UPDATE transfers SET state = {TransferState.SUBMITTED:d}, reason = ''
    FROM (SELECT item_id FROM transfers WHERE item_id = ANY($1::bigint[]) ORDER BY item_id FOR UPDATE) AS known
    WHERE transfers.item_id = known.item_id AND state = {TransferState.READY:d}
"""
WAIT = "make_interval(secs => least($3::float8 * 2 ^ least({count} - 1, 30), $4::float8))"
POSTPONE = f"""
    WITH postponed AS (
        UPDATE transfers SET reason = $2::text,
            next_send_time = $1::timestamptz + {WAIT.format(count="send_count")}
        FROM (SELECT item_id FROM transfers WHERE item_id = ANY($5::bigint[]) ORDER BY item_id FOR UPDATE) AS known
        WHERE transfers.item_id = known.item_id AND state = {TransferState.READY:d}
        RETURNING calculation_id
    )
    UPDATE charges SET reason = $2::text FROM postponed
    WHERE charges.calculation_id = postponed.calculation_id AND charges.state = {ChargeState.PENDING:d}
"""
SETTLE = f"""
    WITH news AS (
        SELECT * FROM unnest($6::bigint[], $7::bigint[], $8::smallint[], $9::text[])
            AS n (item_id, new_transfer_id, new_state, new_reason)
    ), known AS (
        SELECT news.* FROM transfers JOIN news USING (item_id)
        WHERE label = $2 AND state IN ({TransferState.READY:d}, {TransferState.SUBMITTED:d})
        ORDER BY item_id FOR UPDATE OF transfers
    ), ended AS (
        UPDATE transfers SET state = new_state, transfer_id = new_transfer_id, reason = new_reason
        FROM known WHERE transfers.item_id = known.item_id
        RETURNING calculation_id, new_state, new_transfer_id, new_reason
    )
    UPDATE charges SET
        state = CASE WHEN new_state = $5 THEN {ChargeState.PAID:d} ELSE {ChargeState.OUTSTANDING:d} END,
        transfer_id = new_transfer_id,
        reason = new_reason,
        settle_time = CASE WHEN new_state = $5 THEN $1::timestamptz END,
        next_attempt_time = CASE WHEN new_state <> $5
            THEN $1::timestamptz + {WAIT.format(count="attempt_count")} END
    FROM ended WHERE charges.calculation_id = ended.calculation_id AND charges.state = {ChargeState.PENDING:d}
    RETURNING charges.state
"""


async def reopen_due(tx: AsyncConnection, now: datetime, limit: int) -> int:
    """Starts the next attempt of outstanding charges whose wait is over; how many."""
    return len(await fetch_arrays(tx, REOPEN_DUE, now, limit))


async def reopen_of_payers(
    tx: AsyncConnection, label: int, payer_account_ids: Int64Array, now: datetime, limit: int
) -> int:
    """Starts the next attempt of whatever these accounts still owe; how many."""
    return len(await fetch_arrays(tx, REOPEN_OF_PAYERS, now, limit, label, np.unique(payer_account_ids)))


async def claim_ready(tx: AsyncConnection, now: datetime, *, limit: int, hold_seconds: float) -> list[ReadyTransfer]:
    """Transfers to send now, oldest first; no other worker gets them for `hold_seconds`."""
    rows = await fetch_arrays(tx, CLAIM, now, limit, now + timedelta(seconds=hold_seconds))
    return [ReadyTransfer(**row) for row in rows]


async def mark_submitted(tx: AsyncConnection, item_ids: Sequence[int]) -> None:
    """platform-groups has them durably. Those that ended in the meantime stay ended."""
    await fetch_arrays(tx, SUBMITTED, item_ids)


async def postpone(
    tx: AsyncConnection, item_ids: Sequence[int], *, reason: str, now: datetime, backoff: Backoff
) -> None:
    """Not accepted, or not known to be: the same items are sent again later. The charges show the reason."""
    await fetch_arrays(tx, POSTPONE, now, reason, backoff.first_seconds, backoff.longest_seconds, item_ids)


async def settle(
    tx: AsyncConnection, label: int, results: Sequence[TransferResult], *, now: datetime, backoff: Backoff
) -> tuple[int, int]:
    """Ends transfers and moves their charges: how many became (PAID, OUTSTANDING). A repeat moves nothing."""
    rows = await fetch_arrays(
        tx,
        SETTLE,
        now,
        label,
        backoff.first_seconds,
        backoff.longest_seconds,
        TransferState.DONE,
        [result.item_id for result in results],
        [result.transfer_id for result in results],
        [result.state for result in results],
        [result.reason for result in results],
    )
    paid_count = sum(row["state"] == ChargeState.PAID for row in rows)
    return paid_count, len(rows) - paid_count
