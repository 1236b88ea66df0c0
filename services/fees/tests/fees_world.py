"""Events, terms and stubs of the two services that fees asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import NotFound
from apportion.fees.domain.terms import Currency, Parties, Terms
from apportion.fees.domain.trade_fee import ClosedTrades
from apportion.fees.storage.charges import CHARGES
from apportion.fees.storage.terms import save_terms
from apportion.payments import Backoff, PaymentBatch, PaymentResults, PaymentState, Waits
from apportion.storage import transaction

LABEL, MASTER, WALLET = 1, 3, 9
LOT = 100_000_000
NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
WAITS = Waits(30, Backoff(1, 60), Backoff(60, 600))


@dataclass
class StubSubscriptions:
    """allocation: subscription n of account 40 + n follows master 3."""

    known: set[int] = field(default_factory=lambda: {7, 8})
    payee_account_id: int = WALLET

    async def parties(self, label: int, subscription_id: int) -> Parties:
        if label != LABEL or subscription_id not in self.known:
            raise NotFound("subscription", subscription_id)
        return Parties(subscription_id, MASTER, 40 + subscription_id, self.payee_account_id, Currency("USD", 2))


@dataclass
class StubWallets:
    """platform-groups."""

    wallet: Currency = field(default_factory=lambda: Currency("USD", 2))

    async def currency(self, label: int, account_id: int) -> Currency:
        if (label, account_id) != (LABEL, WALLET):
            raise NotFound("account", account_id)
        return self.wallet


@dataclass
class StubTransfers:
    """platform-groups: takes each item once."""

    items: dict[int, int] = field(default_factory=dict)

    async def submit(self, batch: PaymentBatch) -> list[int]:
        for item_id, amount_minor in zip(batch.item_ids, batch.amounts_minor, strict=True):
            self.items.setdefault(item_id, amount_minor)
        return []


async def settle(engine: AsyncEngine, ends: dict[int, str]) -> None:
    """Reasons by items; "": it was paid."""
    states = [PaymentState.REFUSED if reason else PaymentState.PAID for reason in ends.values()]
    results = PaymentResults(list(ends), [70 + item for item in ends], states, list(ends.values()))
    async with transaction(engine) as tx:
        await CHARGES.settle(tx, LABEL, results, now=NOW, retry=WAITS.retry)


def columns(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def closes(*rows: tuple[int, int, int, int], master_id: int = MASTER) -> ClosedTrades:
    """Rows of (child trade, subscription, deal ticket, volume); account 40 + subscription."""
    child, subscription, deal, volume = (columns(*column) for column in zip(*rows, strict=True))
    return ClosedTrades(
        master_id=master_id,
        currency_code="USD",
        symbol="EURUSD",
        child_trade_ids=child,
        subscription_ids=subscription,
        account_ids=subscription + 40,
        deal_tickets=deal,
        closed_volumes_e8=volume,
        server_times_ms=columns(*[1_767_614_400_250] * len(rows)),
    )


async def give_terms(
    engine: AsyncEngine, subscription_id: int = 7, rate_minor: int = 700, version: int = 1, update_time: datetime = NOW
) -> None:
    payer = 40 + subscription_id
    terms = Terms(LABEL, subscription_id, version, MASTER, payer, WALLET, "USD", 2, rate_minor, update_time)
    async with transaction(engine) as tx:
        await save_terms(tx, terms)


async def rows_of(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with transaction(engine) as tx:
        return [tuple(row) for row in await tx.execute(text(query))]
