"""A made-up service that pays, and a platform-groups that books each item once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import MetaData, PrimaryKeyConstraint, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2
from apportion.errors import UpstreamUnavailable
from apportion.events import ReceivedEvent
from apportion.payments import (
    Backoff,
    PaymentBatch,
    Payments,
    PaymentState,
    Waits,
    dispatch_payments,
    payment_columns,
    payment_constraints,
    payment_decisions,
    transfer_handlers,
)
from apportion.rpc import set_column
from apportion.runtime.clock import FixedClock
from apportion.storage import copy_rows, infrastructure_tables, transaction
from apportion.storage.columns import bigint

LABEL, SOURCE, PAYEE = 1, "dues", 9
DONE, REJECTED = transfers_pb2.TRANSFER_STATE_DONE, transfers_pb2.TRANSFER_STATE_REJECTED
WAITS = Waits(0.05, Backoff(1, 60), Backoff(60, 600))

metadata = MetaData()
infrastructure_tables(metadata)
payment_decisions(metadata)
dues = Table(
    "dues",
    metadata,
    bigint("due_id"),
    *payment_columns("dues"),
    PrimaryKeyConstraint("due_id", name="dues_pkey"),
    *payment_constraints("dues"),
)
DUES = Payments(dues, SOURCE)


@dataclass
class StubTransfers:
    """platform-groups: accounts, and each item taken once. `fail` may raise instead."""

    balances_minor: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(40, 60), 1_000_000))
    fail: Callable[[PaymentBatch], None] = lambda batch: None
    lost_answers: int = 0
    foreign_items: set[int] = field(default_factory=set)
    """Their ids were used for something else."""
    batches: list[PaymentBatch] = field(default_factory=list)
    waiting: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    booked: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    async def submit(self, batch: PaymentBatch) -> list[int]:
        self.batches.append(batch)
        await asyncio.sleep(0)
        self.fail(batch)
        columns = (batch.item_ids, batch.debit_account_ids, batch.credit_account_ids, batch.amounts_minor)
        for item, *row in zip(*columns, strict=True):
            if item not in self.foreign_items and item not in self.refused:
                known = self.booked.get(item) or self.waiting.setdefault(item, tuple(row))
                assert known == tuple(row), "an item never changes"
        if self.lost_answers:
            self.lost_answers -= 1
            raise UpstreamUnavailable(service="platform-groups")
        return [item for item in batch.item_ids if item in self.foreign_items]

    def book(self) -> events_pb2.TransfersUpdated:
        """What became of all that waited."""
        ended: dict[int, tuple[int, str]] = {}
        for item, (debit, credit, amount) in sorted(self.waiting.items()):
            reason = "" if debit in self.balances_minor else "ACCOUNT_UNKNOWN"
            if not reason and self.balances_minor[debit] < amount:
                reason = "INSUFFICIENT_FUNDS"
            if not reason:
                self.balances_minor[debit] -= amount
                self.balances_minor[credit] = self.balances_minor.get(credit, 0) + amount
                self.booked[item] = (debit, credit, amount)
            else:
                self.refused[item] = reason
            ended[item] = (REJECTED if reason else DONE, reason)
        self.waiting.clear()
        return ended_event(ended)


def ended_event(ended: dict[int, tuple[int, str]], source: str = SOURCE) -> events_pb2.TransfersUpdated:
    """Of items with (state, reason)."""
    reasons = sorted({reason for _, reason in ended.values()})
    message = events_pb2.TransfersUpdated(source=source, reasons=reasons)
    set_column(message, "item_ids", list(ended))
    set_column(message, "transfer_ids", [item + 7_000 for item in ended])
    set_column(message, "states", [state for state, _ in ended.values()])
    set_column(message, "reason_indexes", [reasons.index(reason) for _, reason in ended.values()])
    return message


@dataclass
class World:
    engine: AsyncEngine
    clock: FixedClock
    transfers: StubTransfers = field(default_factory=StubTransfers)

    async def owe(self, *rows: tuple[int, int], label: int = LABEL, ordering_key: int = 3) -> None:
        """Rows of (account that pays, amount)."""
        count = (await self.rows("SELECT count(*) FROM dues"))[0][0]
        async with transaction(self.engine) as tx:
            await copy_rows(
                tx,
                dues,
                {
                    "due_id": count + 1 + np.arange(len(rows)),
                    "label": label,
                    "ordering_key": ordering_key,
                    "debit_account_id": [account for account, _ in rows],
                    "credit_account_id": PAYEE,
                    "currency_code": "USD",
                    "amount_minor": [amount for _, amount in rows],
                    "state": int(PaymentState.READY),
                    "reason": "",
                    "transfer_id": 0,
                    "attempt_count": 1,
                    "send_count": 0,
                    "next_time": self.clock.now(),
                },
            )

    async def send(self) -> int:
        return await dispatch_payments(self.engine, DUES, self.transfers, self.clock, WAITS)

    async def tell(self, message: events_pb2.TransfersUpdated, label: int = LABEL) -> None:
        event = ReceivedEvent(
            "00000000-0000-4000-8000-000000000001", label, "transfers", "3", 1, message.DESCRIPTOR.full_name,
            self.clock.now(), 3, message.SerializeToString(),
        )  # fmt: skip
        async with transaction(self.engine) as tx:
            await transfer_handlers(DUES, self.clock, WAITS.retry)[event.type](tx, event)

    async def turn(self) -> None:
        """Hand over, book, tell."""
        await self.send()
        await self.tell(self.transfers.book())

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with transaction(self.engine) as tx:
            return [tuple(row) for row in await tx.execute(text(query))]

    async def states(self) -> list[tuple[int, str]]:
        return await self.rows("SELECT state, reason FROM dues ORDER BY due_id")
