"""Versions of fee terms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import VersionConflict
from apportion.fees.domain.terms import Terms, TermsColumns
from apportion.fees.storage import tables
from apportion.money import Int64Array
from apportion.storage import constraint_errors, fetch_arrays

COLUMNS = ", ".join(column.name for column in tables.terms.columns)

IN_FORCE = """
    SELECT DISTINCT ON (subscription_id)
           subscription_id, version, payee_account_id, trade_fee_per_lot_minor, currency_code,
           currency_digits
    FROM terms WHERE label = $1 AND subscription_id = ANY($2::bigint[]) AND update_time <= $3
    ORDER BY subscription_id, version DESC
"""
PAGE = text(
    f"""
    SELECT DISTINCT ON (subscription_id) {COLUMNS}
    FROM terms
    WHERE label = :label AND subscription_id > :after AND (:master_id = 0 OR master_id = :master_id)
    ORDER BY subscription_id, version DESC
    LIMIT :limit
    """
)


async def load_terms(tx: AsyncConnection, label: int, subscription_id: int) -> Terms | None:
    """The version in force, if the subscription ever had terms."""
    rows = tables.terms
    query = (
        select(rows)
        .where(rows.c.label == label, rows.c.subscription_id == subscription_id)
        .order_by(rows.c.version.desc())
        .limit(1)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Terms(**row._mapping)


async def load_terms_columns(
    tx: AsyncConnection, label: int, subscription_ids: Int64Array, at: datetime
) -> TermsColumns:
    """The terms of all subscriptions named as they were in force at that time, in one query."""
    rows: Sequence[Any] = await fetch_arrays(tx, IN_FORCE, label, np.unique(subscription_ids), at)
    return TermsColumns(
        subscription_ids=_column(rows, "subscription_id"),
        versions=_column(rows, "version"),
        payee_account_ids=_column(rows, "payee_account_id"),
        rates_minor=_column(rows, "trade_fee_per_lot_minor"),
        currency_codes=[row["currency_code"] for row in rows],
        currency_digits=_column(rows, "currency_digits"),
    )


async def list_terms(tx: AsyncConnection, label: int, master_id: int, *, after: int, limit: int) -> list[Terms]:
    """Terms in force in subscription order, from the one behind `after`; master 0: of all masters."""
    result = await tx.execute(PAGE, {"label": label, "master_id": master_id, "after": after, "limit": limit})
    return [Terms(**row._mapping) for row in result]


async def save_terms(tx: AsyncConnection, terms: Terms) -> None:
    """Adds a version. Raises VersionConflict when another call added the same one first."""
    values = {column.name: getattr(terms, column.name) for column in tables.terms.columns}
    with constraint_errors({"terms_pkey": VersionConflict("the terms were changed by another call")}):
        await tx.execute(insert(tables.terms).values(values))


def _column(rows: Sequence[Any], name: str) -> Int64Array:
    return np.array([row[name] for row in rows], dtype=np.int64)
