from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.storage import copy_rows, fetch_arrays, transaction

accounts = Table(
    "accounts",
    MetaData(),
    Column("account_id", BigInteger, primary_key=True),
    Column("balance_minor", BigInteger),
    Column("group_number", Integer),
    Column("name", Text),
    Column("opened_time", DateTime(timezone=True)),
    Column("enabled", Boolean),
    Column("source", Uuid),
    Column("hash", LargeBinary),
)
OPENED = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
SOURCE = uuid.UUID("6f1e8f0a-4d3b-4c55-9d0e-0a8a3f5f0001")
BIG = 2**63 - 1


async def rows(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    async with transaction(engine) as tx:
        return [tuple(row) for row in await tx.execute(select(accounts).order_by(accounts.c.account_id))]


async def test_arrays_and_single_values_arrive_exactly(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await copy_rows(
            tx,
            accounts,
            {
                "account_id": np.array([-(2**63), 1, BIG]),
                "balance_minor": [0, BIG, 5],
                "group_number": np.array([1, -(2**31), 2**31 - 1], dtype=np.int32),
                "name": "Konto ä",
                "opened_time": np.array(["1999-12-31T23:59:59.999999"] * 3, dtype="datetime64[us]"),
                "enabled": np.array([True, False, True]),
                "source": [SOURCE, uuid.UUID(int=0), SOURCE],
                "hash": np.array([b"ab\x00\x00", b"\x00\x00\x00\x00", b"abcd"], dtype="S4"),
            },
        )
    assert await rows(engine) == [
        (-(2**63), 0, 1, "Konto ä", OPENED, True, SOURCE, b"ab\x00\x00"),
        (1, BIG, -(2**31), "Konto ä", OPENED, False, uuid.UUID(int=0), b"\x00\x00\x00\x00"),
        (BIG, 5, 2**31 - 1, "Konto ä", OPENED, True, SOURCE, b"abcd"),
    ]


async def test_texts_and_nulls_go_row_by_row_with_the_same_result(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await copy_rows(
            tx,
            accounts,
            {
                "account_id": np.array([1, 2]),
                "balance_minor": 7,
                "group_number": [None, 3],
                "name": ["", None],
                "opened_time": np.array(["1999-12-31T23:59:59.999999"] * 2, dtype="datetime64[us]"),
                "enabled": np.array([True, False]),
                "source": SOURCE,
                "hash": np.array([b"ab\x00\x00", b"abcd"], dtype="S4"),
            },
        )
    assert await rows(engine) == [
        (1, 7, None, "", OPENED, True, SOURCE, b"ab\x00\x00"),
        (2, 7, 3, None, OPENED, False, SOURCE, b"abcd"),
    ]


async def test_constants_of_every_type(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        values = {"group_number": None, "name": "", "opened_time": OPENED, "enabled": False, "source": SOURCE}
        await copy_rows(tx, accounts, {"account_id": [4], "balance_minor": 0, "hash": b"\x00", **values})
    assert await rows(engine) == [(4, 0, None, "", OPENED, False, SOURCE, b"\x00")]


async def test_copied_rows_belong_to_the_transaction(engine: AsyncEngine) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(engine) as tx:
            await copy_rows(tx, accounts, {"account_id": np.arange(3), "balance_minor": 0})
            raise ZeroDivisionError
    assert await rows(engine) == []


async def test_a_refused_row_refuses_all(engine: AsyncEngine) -> None:
    with pytest.raises(Exception, match="accounts_balance_check"):
        async with transaction(engine) as tx:
            await copy_rows(tx, accounts, {"account_id": np.arange(3), "balance_minor": np.array([0, 0, -1])})
    assert await rows(engine) == []


async def test_what_cannot_be_copied_is_refused_before_it_is_sent(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        with pytest.raises(ValueError, match="different lengths"):
            await copy_rows(tx, accounts, {"account_id": np.arange(3), "balance_minor": np.arange(2)})
        with pytest.raises(OverflowError, match="group_number"):
            await copy_rows(tx, accounts, {"account_id": [1], "group_number": np.array([2**31])})
        with pytest.raises(ValueError, match="no columns"):
            await copy_rows(tx, accounts, {})
        await copy_rows(tx, accounts, {"account_id": np.arange(0), "balance_minor": 0})
    assert await rows(engine) == []


async def test_a_statement_over_arrays(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        inserted = await fetch_arrays(
            tx,
            "INSERT INTO accounts (account_id, balance_minor)"
            " SELECT * FROM unnest($1::bigint[], $2::bigint[]) RETURNING account_id",
            np.arange(1_000),
            [5] * 1_000,
        )
        assert len(inserted) == 1_000
        assert inserted[-1]["account_id"] == 999
    async with transaction(engine) as tx:
        assert (await tx.execute(text("SELECT sum(balance_minor) FROM accounts"))).scalar_one() == 5_000
