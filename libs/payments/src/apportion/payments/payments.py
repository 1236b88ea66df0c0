"""The payments of a service, in a table of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.payments.batches import batch_of
from apportion.payments.payment import UNPAID, Backoff, Payment, PaymentBatch, PaymentResults, PaymentState, UnpaidSum
from apportion.storage import fetch_arrays

# What was refused moved nothing, as its result told; the next attempt is another item.
REOPEN = f"""
    WITH due AS (
        SELECT item_id FROM {{table}}
        WHERE state = {PaymentState.REFUSED:d} AND {{condition}}
        ORDER BY next_time, item_id LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    UPDATE {{table}} AS p
    SET state = {PaymentState.READY:d}, item_id = nextval('{{table}}_items_seq'), attempt_count = p.attempt_count + 1,
        send_count = 0, next_time = $1
    FROM due WHERE p.item_id = due.item_id
    RETURNING p.item_id
"""
# Rows that were just written are not in the planner's statistics: it would gather and sort them all for each batch.
IN_ORDER = "SET LOCAL enable_bitmapscan = off"
# Taking a payment hides it from other workers for a while; a worker that dies lets it reappear.
CLAIM = f"""
    WITH ready AS (
        SELECT item_id FROM {{table}} WHERE state = {PaymentState.READY:d} AND next_time <= $1
        ORDER BY next_time, item_id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE {{table}} AS p SET send_count = p.send_count + 1, next_time = $3
        FROM ready WHERE p.item_id = ready.item_id
        RETURNING p.label, p.ordering_key, p.currency_code, p.item_id, p.debit_account_id, p.credit_account_id,
            p.amount_minor
    )
    SELECT * FROM claimed ORDER BY label, ordering_key, currency_code, item_id
"""
# Locked in the order in which results lock them, then found by their numbers alone: a join would read all READY ones.
LOCKED = """
    WITH locked AS MATERIALIZED (
        SELECT item_id FROM {table} WHERE item_id = ANY($1::bigint[]) ORDER BY item_id FOR UPDATE
    )
"""
MINE = f"item_id = ANY($1::bigint[]) AND state = {PaymentState.READY:d} AND (SELECT count(*) FROM locked) > 0"
SUBMITTED = f"""
    {LOCKED}
    UPDATE {{table}} SET state = {PaymentState.SUBMITTED:d}, reason = '', next_time = NULL WHERE {MINE}
"""
WAIT = "make_interval(secs => least($3::float8 * 2 ^ least({count} - 1, 30), $4::float8))"
POSTPONE = f"""
    {LOCKED}
    UPDATE {{table}} SET reason = $5, next_time = $2::timestamptz + {WAIT.format(count="send_count")} WHERE {MINE}
"""
SETTLE = f"""
    WITH known AS (
        SELECT news.* FROM {{table}} JOIN unnest($5::bigint[], $6::bigint[], $7::smallint[], $8::text[])
            AS news (item_id, new_transfer_id, new_state, new_reason) USING (item_id)
        WHERE label = $1 AND state IN ({PaymentState.READY:d}, {PaymentState.SUBMITTED:d})
        ORDER BY item_id FOR UPDATE OF {{table}}
    )
    UPDATE {{table}} AS p
    SET state = new_state, transfer_id = new_transfer_id, reason = new_reason,
        settle_time = CASE WHEN new_state = {PaymentState.PAID:d} THEN $2::timestamptz END,
        next_time = CASE WHEN new_state = {PaymentState.REFUSED:d}
            THEN $2::timestamptz + {WAIT.format(count="p.attempt_count")} END
    FROM known WHERE p.item_id = known.item_id
    RETURNING p.state
"""
UNPAID_STATES = ", ".join(f"{state:d}" for state in UNPAID)
# All that is unpaid first: it is little, while the rows with the newest items may all be paid.
LIST = f"""
    WITH unpaid AS MATERIALIZED (SELECT * FROM {{table}} WHERE state IN ({UNPAID_STATES}))
    SELECT item_id, {{origin}} AS origin, ordering_key, debit_account_id, credit_account_id, currency_code,
        amount_minor, state, reason, transfer_id, attempt_count, next_time
    FROM unpaid
    WHERE label = $1 AND item_id < $2 AND ($4 = 0 OR state = $4) AND ($5 = '' OR reason = $5)
        AND ($6 = 0 OR $6 IN (debit_account_id, credit_account_id))
    ORDER BY item_id DESC LIMIT $3
"""
SUM = f"""
    SELECT label, currency_code, state, reason, count(*) AS payment_count, sum(amount_minor)::bigint AS amount_minor
    FROM {{table}} WHERE state IN ({UNPAID_STATES}) GROUP BY label, currency_code, state, reason
"""


class Payments:
    """Statements over a table that has `payment_columns`. `source` names its transfers at platform-groups."""

    def __init__(self, table: Table, source: str) -> None:
        self.source = source
        self.name = table.name
        pairs = (f"'{column.name}=' || {column.name}" for column in table.primary_key)
        self._origin = " || ',' || ".join(pairs)

    def _of(self, statement: str, **parts: str) -> str:
        return statement.format(table=self.name, **parts)

    async def reopen_due(self, tx: AsyncConnection, now: datetime, limit: int) -> int:
        """Starts the next attempt at refused payments whose wait is over; how many."""
        return len(await fetch_arrays(tx, self._of(REOPEN, condition="next_time <= $1"), now, limit))

    async def reopen_of_debtors(
        self, tx: AsyncConnection, label: int, debit_account_ids: Sequence[int], now: datetime, limit: int
    ) -> int:
        """Starts the next attempt at whatever these accounts were refused to pay; how many."""
        statement = self._of(REOPEN, condition="label = $3 AND debit_account_id = ANY($4::bigint[])")
        return len(await fetch_arrays(tx, statement, now, limit, label, np.unique(debit_account_ids)))

    async def claim_ready(
        self, tx: AsyncConnection, now: datetime, *, limit: int, hold_seconds: float
    ) -> list[PaymentBatch]:
        """What to hand over now, those that wait longest; no other worker gets them for `hold_seconds`."""
        await fetch_arrays(tx, IN_ORDER)
        rows = await fetch_arrays(tx, self._of(CLAIM), now, limit, now + timedelta(seconds=hold_seconds))
        return list(self._batches(rows))

    def _batches(self, rows: Sequence[Any]) -> Iterator[PaymentBatch]:
        """One for each label, ordering key and currency, in the order of items."""
        for names, members in groupby(rows, key=itemgetter("label", "ordering_key", "currency_code")):
            columns = list(zip(*members, strict=True))[len(names) :]
            yield batch_of(self.source, *names, *columns)

    async def mark_submitted(self, tx: AsyncConnection, item_ids: Sequence[int]) -> None:
        """platform-groups has them durably. Those that ended in the meantime stay ended."""
        await fetch_arrays(tx, self._of(SUBMITTED), item_ids)

    async def postpone(
        self, tx: AsyncConnection, item_ids: Sequence[int], *, reason: str, now: datetime, resend: Backoff
    ) -> None:
        """Not accepted, or not known to be: the same items are handed over again later, and show the reason."""
        waits = (resend.first_seconds, resend.longest_seconds)
        await fetch_arrays(tx, self._of(POSTPONE), item_ids, now, *waits, reason)

    async def settle(
        self, tx: AsyncConnection, label: int, results: PaymentResults, *, now: datetime, retry: Backoff
    ) -> tuple[int, int]:
        """Ends attempts: how many became (PAID, REFUSED). A repeat moves nothing."""
        waits = (retry.first_seconds, retry.longest_seconds)
        columns = (results.item_ids, results.transfer_ids, results.states, results.reasons)
        rows = await fetch_arrays(tx, self._of(SETTLE), label, now, *waits, *columns)
        paid_count = sum(row["state"] == PaymentState.PAID for row in rows)
        return paid_count, len(rows) - paid_count

    async def list_unpaid(
        self,
        tx: AsyncConnection,
        label: int,
        *,
        state: PaymentState | None,
        reason: str,
        account_id: int,
        before: int,
        limit: int,
    ) -> list[Payment]:
        """Newest attempt first, those with an item below `before`; None, "" and 0: all."""
        statement = self._of(LIST, origin=self._origin)
        rows = await fetch_arrays(tx, statement, label, before, limit, state or 0, reason, account_id)
        return [Payment(**{**row, "state": PaymentState(row["state"])}) for row in rows]

    async def sum_unpaid(self, tx: AsyncConnection) -> list[UnpaidSum]:
        """Of all labels."""
        rows = await fetch_arrays(tx, self._of(SUM))
        return [UnpaidSum(**{**row, "state": PaymentState(row["state"])}) for row in rows]
