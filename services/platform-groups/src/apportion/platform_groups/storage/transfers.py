"""Rows of transfers and their legs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.server_facts import Int64s
from apportion.platform_groups.domain.shards import SHARD_COUNT
from apportion.platform_groups.domain.states import LegKind, TransferState
from apportion.platform_groups.domain.transfers import LEGS_PER_TRANSFER, LegOutcome, SentLeg, Transfer, UnknownLeg
from apportion.storage import fetch_arrays

RESULT_COLUMNS = "t.transfer_id, t.label, t.source, t.item_id, t.ordering_key, t.state, t.reason"

INSERT = f"""
    INSERT INTO transfers AS t (label, source, item_id, source_id, ordering_key, debit_account_id, credit_account_id,
        currency_code, amount_minor, state, reason, cause, create_time, finish_time)
    SELECT $1::bigint, $2::text, i.item_id, $2 || '/' || i.item_id, $3::bigint, i.debit_id, i.credit_id, $4::text,
        i.amount_minor, CASE WHEN i.refusal = '' THEN 1 ELSE 4 END, i.refusal, $5::text, $6::timestamptz,
        CASE WHEN i.refusal <> '' THEN $6::timestamptz END
    FROM unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[])
        AS i (item_id, debit_id, credit_id, amount_minor, refusal)
    ORDER BY i.item_id
    ON CONFLICT ON CONSTRAINT transfers_source_key DO NOTHING
    RETURNING {RESULT_COLUMNS}
"""

# The debit, or else the credit, is READY; a credit behind a debit waits.
INSERT_LEGS = f"""
    INSERT INTO transfer_legs (leg_id, transfer_id, kind, trading_server_id, shard, account_id, login, amount_minor,
        currency_digits, state, next_attempt_time, update_time)
    SELECT t.transfer_id * {LEGS_PER_TRANSFER} + k.kind, t.transfer_id, k.kind, a.trading_server_id,
        a.account_id % {SHARD_COUNT}, a.account_id, COALESCE(a.login, 0),
        CASE WHEN k.kind = 1 THEN -t.amount_minor ELSE t.amount_minor END, a.currency_digits,
        CASE WHEN k.kind = 2 AND t.debit_account_id > 0 THEN 1 ELSE 2 END, $2::timestamptz, $2
    FROM transfers t CROSS JOIN (VALUES (1), (2)) AS k (kind)
    JOIN accounts a ON a.account_id = CASE WHEN k.kind = 1 THEN t.debit_account_id ELSE t.credit_account_id END
    WHERE t.transfer_id = ANY($1::bigint[])
    RETURNING trading_server_id
"""

CONFLICTING = """
    SELECT t.item_id FROM transfers t
    JOIN unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS i (item_id, debit_id, credit_id, amount_minor)
      ON t.source_id = $2::text || '/' || i.item_id
    WHERE t.label = $1 AND (t.debit_account_id <> i.debit_id OR t.credit_account_id <> i.credit_id
        OR t.amount_minor <> i.amount_minor)
    ORDER BY t.item_id
"""

CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT leg_id, shard FROM transfer_legs
        WHERE trading_server_id = $1 AND shard = ANY($2::bigint[]) AND state = 2
          AND next_attempt_time <= $4::timestamptz
        ORDER BY leg_id LIMIT $5 FOR UPDATE
    )
    UPDATE transfer_legs l SET state = 3, epoch = held.epoch, attempt_count = attempt_count + 1, absent_count = 0,
        sent_time = $4, sent_server_time_ms = $6, update_time = $4
    FROM picked JOIN unnest($2::bigint[], $3::bigint[]) AS held (shard, epoch) ON held.shard = picked.shard,
        accounts AS a
    WHERE l.leg_id = picked.leg_id AND a.account_id = l.account_id
    RETURNING l.leg_id, l.kind, l.account_id, l.login, l.shard, l.amount_minor, l.currency_digits, l.epoch,
        l.attempt_count, l.token_salt, a.state = 2 AS is_open
"""

# As with orders: one whose answer was lost was sent at the latest now, and an outcome is of one attempt.
SAVE_LEGS = """
    UPDATE transfer_legs l SET state = r.state, sent_time = CASE WHEN r.state = 4 THEN $6 ELSE l.sent_time END,
        absent_count = CASE WHEN r.state = 4 THEN 0 ELSE l.absent_count END,
        reason = r.reason, deal_ticket = r.deal_ticket,
        update_time = $6::timestamptz, next_attempt_time = $6 + make_interval(secs => r.retry_seconds)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $7::float8[],
                $8::bigint[])
        AS r (leg_id, epoch, state, reason, deal_ticket, retry_seconds, attempt_count)
    WHERE l.leg_id = r.leg_id AND l.epoch = r.epoch AND l.attempt_count = r.attempt_count AND l.state IN (3, 4)
    RETURNING l.leg_id, l.transfer_id, l.kind, l.state, l.reason
"""

SAVE_LEG_ABSENCES = """
    UPDATE transfer_legs l SET absent_count = l.absent_count + 1
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
        AS r (leg_id, epoch, attempt_count, absent_count)
    WHERE l.leg_id = r.leg_id AND l.epoch = r.epoch AND l.attempt_count = r.attempt_count AND l.state = 4
      AND l.absent_count = r.absent_count
"""

SAVE_TRANSFERS = f"""
    UPDATE transfers t SET state = r.state, reason = CASE WHEN r.reason <> '' THEN r.reason ELSE t.reason END,
        finish_time = CASE WHEN r.state > 2 THEN $4::timestamptz END
    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS r (transfer_id, state, reason)
    WHERE t.transfer_id = r.transfer_id AND t.state < 3
    RETURNING {RESULT_COLUMNS}
"""

ARM_CREDITS = """
    UPDATE transfer_legs SET state = 2, next_attempt_time = $2::timestamptz, update_time = $2
    WHERE transfer_id = ANY($1::bigint[]) AND kind = 2 AND state = 1
    RETURNING trading_server_id
"""

INSERT_REFUNDS = f"""
    INSERT INTO transfer_legs (leg_id, transfer_id, kind, trading_server_id, shard, account_id, login, amount_minor,
        currency_digits, state, next_attempt_time, update_time)
    SELECT transfer_id * {LEGS_PER_TRANSFER} + 3, transfer_id, 3, trading_server_id, shard, account_id, login,
        -amount_minor, currency_digits, 2, $2::timestamptz, $2
    FROM transfer_legs WHERE transfer_id = ANY($1::bigint[]) AND kind = 1 AND state = 5
    ON CONFLICT ON CONSTRAINT transfer_legs_pkey DO NOTHING
    RETURNING trading_server_id
"""

SELECT = """
    SELECT t.transfer_id, t.label, t.source, t.item_id, t.source_id, t.ordering_key, t.debit_account_id,
        t.credit_account_id, t.currency_code, t.amount_minor, t.state, t.reason, t.create_time, t.finish_time,
        COALESCE(max(l.deal_ticket) FILTER (WHERE l.kind = 1), 0) AS debit_deal_ticket,
        COALESCE(max(l.deal_ticket) FILTER (WHERE l.kind = 2), 0) AS credit_deal_ticket,
        COALESCE(max(l.deal_ticket) FILTER (WHERE l.kind = 3), 0) AS refund_deal_ticket
    FROM transfers t LEFT JOIN transfer_legs l ON l.transfer_id = t.transfer_id
"""


@dataclass(frozen=True, slots=True)
class NewTransfers:
    """Transfers to accept, in columns of one currency. Account 0 is the broker."""

    label: int
    source: str
    ordering_key: int
    currency_code: str
    cause: str
    item_ids: Int64s
    debit_account_ids: Int64s
    credit_account_ids: Int64s
    amounts_minor: Int64s


@dataclass(frozen=True, slots=True)
class Inserted:
    transfer_ids: list[int]
    """All that are new."""
    rejected: list[Any]
    """Result rows of those that ended at once."""
    trading_server_ids: list[int]


async def insert_transfers(
    tx: AsyncConnection, transfers: NewTransfers, now: datetime, *, refusals: Sequence[str] | None = None
) -> Inserted:
    """The new ones among these, with their legs. One with a refusal is REJECTED for that reason, without legs."""
    rows = await fetch_arrays(
        tx,
        INSERT,
        transfers.label,
        transfers.source,
        transfers.ordering_key,
        transfers.currency_code,
        transfers.cause,
        now,
        transfers.item_ids,
        transfers.debit_account_ids,
        transfers.credit_account_ids,
        transfers.amounts_minor,
        refusals or [""] * len(transfers.item_ids),
    )
    pending = [row["transfer_id"] for row in rows if row["state"] == TransferState.PENDING]
    legs = await fetch_arrays(tx, INSERT_LEGS, pending, now) if pending else []
    return Inserted(
        [row["transfer_id"] for row in rows],
        [row for row in rows if row["state"] == TransferState.REJECTED],
        [row["trading_server_id"] for row in legs],
    )


async def find_conflicts(tx: AsyncConnection, transfers: NewTransfers) -> list[int]:
    """Items that exist with other content."""
    rows = await fetch_arrays(
        tx,
        CONFLICTING,
        transfers.label,
        transfers.source,
        transfers.item_ids,
        transfers.debit_account_ids,
        transfers.credit_account_ids,
        transfers.amounts_minor,
    )
    return [row["item_id"] for row in rows]


async def claim_legs(
    tx: AsyncConnection,
    trading_server_id: int,
    epochs: dict[int, int],
    *,
    limit: int,
    server_time_ms: int,
    now: datetime,
) -> list[SentLeg]:
    """Marks READY legs SENDING. `epochs` by shard, each held by the transaction."""
    rows = await fetch_arrays(
        tx, CLAIM, trading_server_id, list(epochs), list(epochs.values()), now, limit, server_time_ms
    )
    claimed = [
        SentLeg(
            leg_id=row["leg_id"],
            kind=LegKind(row["kind"]),
            account_id=row["account_id"],
            login=row["login"],
            shard=row["shard"],
            amount_minor=row["amount_minor"],
            currency_digits=row["currency_digits"],
            epoch=row["epoch"],
            attempt_count=row["attempt_count"],
            token_salt=row["token_salt"],
            is_open=row["is_open"],
        )
        for row in rows
    ]
    return sorted(claimed, key=lambda leg: leg.leg_id)


async def save_legs(tx: AsyncConnection, outcomes: Sequence[LegOutcome], now: datetime) -> list[Any]:
    """Rows (leg_id, transfer_id, kind, state, reason) of legs still SENDING or UNKNOWN and not sent again since."""
    return await fetch_arrays(
        tx,
        SAVE_LEGS,
        [outcome.leg_id for outcome in outcomes],
        [outcome.epoch for outcome in outcomes],
        [int(outcome.state) for outcome in outcomes],
        [outcome.reason for outcome in outcomes],
        [outcome.deal_ticket for outcome in outcomes],
        now,
        [outcome.retry_seconds for outcome in outcomes],
        [outcome.attempt_count for outcome in outcomes],
    )


async def load_parties(tx: AsyncConnection, transfer_ids: Sequence[int]) -> dict[int, tuple[bool, bool]]:
    """(has a debit, has a credit) by transfer. Locks the transfers in the order of their ids."""
    query = text(
        """SELECT transfer_id, debit_account_id > 0, credit_account_id > 0 FROM transfers
        WHERE transfer_id = ANY(CAST(:ids AS bigint[])) ORDER BY transfer_id FOR UPDATE"""
    )
    return {row[0]: (row[1], row[2]) for row in await tx.execute(query, {"ids": list(transfer_ids)})}


async def save_states(tx: AsyncConnection, states: dict[int, tuple[TransferState, str]], now: datetime) -> list[Any]:
    """Moves unfinished transfers on; returns their result rows."""
    return await fetch_arrays(
        tx,
        SAVE_TRANSFERS,
        list(states),
        [int(state) for state, _ in states.values()],
        [reason for _, reason in states.values()],
        now,
    )


async def arm_credits(tx: AsyncConnection, transfer_ids: Sequence[int], now: datetime) -> list[int]:
    """Lets the credits of debited transfers go; returns their servers."""
    return [row["trading_server_id"] for row in await fetch_arrays(tx, ARM_CREDITS, list(transfer_ids), now)]


async def insert_refunds(tx: AsyncConnection, transfer_ids: Sequence[int], now: datetime) -> list[int]:
    """Gives booked debits back; returns their servers."""
    return [row["trading_server_id"] for row in await fetch_arrays(tx, INSERT_REFUNDS, list(transfer_ids), now)]


async def orphan_legs(tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], now: datetime) -> None:
    """What a former owner of these shards left SENDING is UNKNOWN."""
    query = text(
        """UPDATE transfer_legs SET state = 4, sent_time = :now, update_time = :now
        WHERE trading_server_id = :id AND shard = ANY(CAST(:shards AS bigint[])) AND state = 3"""
    )
    await tx.execute(query, {"id": trading_server_id, "shards": list(shards), "now": now})


async def list_unknown_legs(
    tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], limit: int, now: datetime
) -> list[UnknownLeg]:
    """Those to look for now."""
    query = text(
        """SELECT leg_id, login, shard, epoch, absent_count, attempt_count, sent_server_time_ms, sent_time,
            amount_minor, token_salt
        FROM transfer_legs WHERE trading_server_id = :id AND shard = ANY(CAST(:shards AS bigint[])) AND state = 4
          AND next_attempt_time <= :now
        ORDER BY absent_count, leg_id LIMIT :limit"""
    )
    values = {"id": trading_server_id, "shards": list(shards), "limit": limit, "now": now}
    rows = await tx.execute(query, values)
    return [UnknownLeg(*row) for row in rows]


async def save_leg_absences(tx: AsyncConnection, legs: Sequence[UnknownLeg]) -> None:
    """One more complete, late enough report without these, unless they were sent again or another report came since."""
    await fetch_arrays(
        tx,
        SAVE_LEG_ABSENCES,
        [leg.leg_id for leg in legs],
        [leg.epoch for leg in legs],
        [leg.attempt_count for leg in legs],
        [leg.absent_count for leg in legs],
    )


async def load_transfer(tx: AsyncConnection, label: int, transfer_id: int) -> Transfer:
    """Raises NotFound."""
    query = text(f"{SELECT} WHERE t.label = :label AND t.transfer_id = :id GROUP BY t.transfer_id")
    row = (await tx.execute(query, {"label": label, "id": transfer_id})).one_or_none()
    if row is None:
        raise NotFound("transfer", transfer_id)
    return _transfer(row)


async def find_by_source(tx: AsyncConnection, label: int, source_id: str) -> int | None:
    """The id of the transfer with this source."""
    query = text("SELECT transfer_id FROM transfers WHERE label = :label AND source_id = :source_id")
    found: int | None = (await tx.execute(query, {"label": label, "source_id": source_id})).scalar_one_or_none()
    return found


async def list_transfers(tx: AsyncConnection, label: int, account_id: int, after_id: int, limit: int) -> list[Transfer]:
    """`account_id` 0: of all accounts."""
    query = text(
        f"""{SELECT} WHERE t.label = :label AND t.transfer_id > :after_id
          AND (:account_id = 0 OR t.debit_account_id = :account_id OR t.credit_account_id = :account_id)
        GROUP BY t.transfer_id ORDER BY t.transfer_id LIMIT :limit"""
    )
    values = {"label": label, "account_id": account_id, "after_id": after_id, "limit": limit}
    return [_transfer(row) for row in await tx.execute(query, values)]


def _transfer(row: Any) -> Transfer:
    return Transfer(
        transfer_id=row.transfer_id,
        label=row.label,
        source=row.source,
        item_id=row.item_id,
        source_id=row.source_id,
        ordering_key=row.ordering_key,
        debit_account_id=row.debit_account_id,
        credit_account_id=row.credit_account_id,
        currency_code=row.currency_code,
        amount_minor=row.amount_minor,
        state=TransferState(row.state),
        reason=row.reason,
        debit_deal_ticket=row.debit_deal_ticket,
        credit_deal_ticket=row.credit_deal_ticket,
        refund_deal_ticket=row.refund_deal_ticket,
        create_time=row.create_time,
        finish_time=row.finish_time,
    )
