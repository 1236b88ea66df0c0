"""How the work on one trading server is divided among workers."""

from __future__ import annotations

SHARD_COUNT = 8
"""Shards of a server's accounts; each has one owner at a time. Stored in rows: never change it."""


def shard_of(account_id: int) -> int:
    """All orders and balance operations of one account are in one shard, and so in one hand."""
    return account_id % SHARD_COUNT


def lease_key(trading_server_id: int, shard: int) -> str:
    """The lease that gives the right to write to the server for a shard's accounts."""
    return f"{trading_server_id}/{shard}"


def server_of_key(key: str) -> int:
    return int(key.partition("/")[0])


def shard_of_key(key: str) -> int:
    return int(key.partition("/")[2])
