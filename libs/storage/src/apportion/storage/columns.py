"""Columns by PostgreSQL's names for their types. None may be NULL unless it says so."""

from __future__ import annotations

import uuid as uuids
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Identity, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB


def identity(name: str, *, always: bool = True) -> Column[int]:
    """A bigint that the database counts up; only with `always=False` a row may bring its own number."""
    return Column(name, BigInteger, Identity(always=always), nullable=False)


def bigint(name: str, **options: Any) -> Column[int]:
    """Ids, amounts, volumes, prices: every number that arithmetic is done with."""
    return _column(name, BigInteger, options)


def integer(name: str, **options: Any) -> Column[int]:
    """Counts and settings that stay small."""
    return _column(name, Integer, options)


def smallint(name: str, **options: Any) -> Column[int]:
    """Values of enumerations."""
    return _column(name, SmallInteger, options)


def boolean(name: str, **options: Any) -> Column[bool]:
    return _column(name, Boolean, options)


def string(name: str, **options: Any) -> Column[str]:
    """text: PostgreSQL has no cheaper type for shorter ones."""
    return _column(name, Text, options)


def strings(name: str, **options: Any) -> Column[list[str]]:
    return _column(name, ARRAY(Text), options)


def bytea(name: str, **options: Any) -> Column[bytes]:
    return _column(name, LargeBinary, options)


def jsonb(name: str, **options: Any) -> Column[Any]:
    return _column(name, JSONB, options)


def uuid(name: str, **options: Any) -> Column[uuids.UUID]:
    return _column(name, Uuid, options)


def timestamptz(name: str, **options: Any) -> Column[datetime]:
    """An instant."""
    return _column(name, DateTime(timezone=True), options)


def _column(name: str, kind: Any, options: dict[str, Any]) -> Column[Any]:
    return Column(name, kind, **{"nullable": False} | options)
