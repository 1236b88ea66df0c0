"""What people decide about refused payments, kept with their words for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import NotFound
from apportion.payments.errors import PaymentNotRefused
from apportion.payments.payment import DecisionKind, PaymentDecision, PaymentState
from apportion.payments.payments import Payments
from apportion.storage import RequestKey, claim_request, fetch_arrays, store_answer, transaction

LOCK = "SELECT item_id, state FROM {table} WHERE label = $1 AND item_id = ANY($2::bigint[]) ORDER BY item_id FOR UPDATE"
NOTE = """
    INSERT INTO payment_decisions
        (label, item_id, kind, amount_minor, currency_code, reason, cause, decided_by, request_id, decide_time)
    SELECT label, item_id, $3::smallint, amount_minor, currency_code, reason, $4::text, $5::text, $6::uuid,
        $7::timestamptz
    FROM {table} WHERE label = $1 AND item_id = ANY($2::bigint[]) ORDER BY item_id
"""
APPLY = {
    DecisionKind.RETRY: f"""
        UPDATE {{table}} SET state = {PaymentState.READY:d}, item_id = nextval('{{table}}_items_seq'),
            attempt_count = attempt_count + 1, send_count = 0, next_time = $3
        WHERE label = $1 AND item_id = ANY($2::bigint[])
    """,
    DecisionKind.WRITE_OFF: f"""
        UPDATE {{table}} SET state = {PaymentState.WRITTEN_OFF:d}, next_time = NULL, settle_time = $3
        WHERE label = $1 AND item_id = ANY($2::bigint[])
    """,
}
LIST = """
    SELECT decision_id, item_id, kind, amount_minor, currency_code, reason, cause, decided_by, decide_time
    FROM payment_decisions WHERE label = $1 AND decision_id < $2 ORDER BY decision_id DESC LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """The command, for payments named by their refused items."""

    key: RequestKey
    kind: DecisionKind
    item_ids: tuple[int, ...]
    cause: str
    decided_by: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The stored answer."""

    payment_count: int


async def decide_payments(engine: AsyncEngine, payments: Payments, decision: Decision, *, now: datetime) -> int:
    """How many payments it is about: all that were named. Raises NotFound, PaymentNotRefused."""
    key = decision.key
    table = payments.name
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, key, Decided, now=now)) is not None:
            return stored.payment_count
        items = sorted(set(decision.item_ids))
        states = {
            row["item_id"]: row["state"] for row in await fetch_arrays(tx, LOCK.format(table=table), key.label, items)
        }
        for item_id in items:
            if item_id not in states:
                raise NotFound("payment", item_id)
            if states[item_id] != PaymentState.REFUSED:
                state = PaymentState(states[item_id]).name
                raise PaymentNotRefused(f"payment {item_id} is {state}", item_id=item_id, state=state)
        words = (decision.kind, decision.cause, decision.decided_by, UUID(key.request_id), now)
        await fetch_arrays(tx, NOTE.format(table=table), key.label, items, *words)
        await fetch_arrays(tx, APPLY[decision.kind].format(table=table), key.label, items, now)
        await store_answer(tx, key, Decided(len(items)))
    return len(items)


async def list_decisions(tx: AsyncConnection, label: int, *, before: int, limit: int) -> list[PaymentDecision]:
    """Newest first, those with an id below `before`."""
    rows = await fetch_arrays(tx, LIST, label, before, limit)
    return [PaymentDecision(**{**row, "kind": DecisionKind(row["kind"])}) for row in rows]
