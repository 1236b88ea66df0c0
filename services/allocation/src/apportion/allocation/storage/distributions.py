"""Distributions: the money of one deal, divided; one columnar row each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.deal_money import DealMoney
from apportion.allocation.domain.distributions import (
    Distribution,
    DistributionColumns,
    DistributionFilter,
    Holders,
    Shares,
    UndistributedSum,
)
from apportion.allocation.domain.methods import RoundingPolicy
from apportion.allocation.storage.packing import pack, unpack
from apportion.allocation.storage.profit_tables import distributions, payouts
from apportion.errors import NotFound
from apportion.payments.payment import UNPAID
from apportion.storage import fetch_arrays

MONEY = ("profit_minor", "swap_minor", "commission_minor")
OF_HOLDERS = ("subscription_ids", "account_ids", "logins", "proportions")
OF_SHARES = ("profits_minor", "swaps_minor", "commissions_minor")
OF_OPENINGS = ("opening_ids", "opening_volumes_e8")
HEADER = tuple(column for column in distributions.columns if column.name != "columns")
UNDISTRIBUTED = """
    SELECT label, currency_code, undistributed_reason AS reason, count(*) AS deal_count,
           sum(abs(undistributed_minor))::bigint AS amount_minor
    FROM distributions WHERE undistributed_minor <> 0 AND distribute_time >= $1
    GROUP BY label, currency_code, undistributed_reason
"""
UNDISTRIBUTED_OF_MASTER = """
    SELECT coalesce(sum(undistributed_minor), 0)::bigint AS amount_minor FROM distributions
    WHERE master_id = $1 AND undistributed_minor <> 0
"""
_decoder = msgspec.msgpack.Decoder(dict[str, tuple[int, bytes]])


async def insert_distribution(tx: AsyncConnection, distribution: Distribution, columns: DistributionColumns) -> bool:
    """False when the money of this deal was distributed before: nothing is written."""
    values = {name: getattr(distribution, name) for name in Distribution.__slots__ if name != "money"}
    values |= {name: getattr(distribution.money, name) for name in MONEY}
    values["undistributed_minor"] = distribution.undistributed_minor
    given = {name: getattr(columns, name) for name in OF_OPENINGS}
    given |= {name: getattr(columns.holders, name) for name in OF_HOLDERS}
    given |= {name: getattr(columns.shares, name) for name in OF_SHARES}
    values["columns"] = msgspec.msgpack.encode({name: pack(column) for name, column in given.items()})
    statement = insert(distributions).values(values).on_conflict_do_nothing(constraint="distributions_deal_key")
    return (await tx.execute(statement)).rowcount == 1


async def load_distribution(
    tx: AsyncConnection, label: int, allocation_id: int
) -> tuple[Distribution, DistributionColumns]:
    """Raises NotFound."""
    query = select(distributions).where(distributions.c.label == label, distributions.c.allocation_id == allocation_id)
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise NotFound("distribution", allocation_id)
    columns = {name: unpack(*column) for name, column in _decoder.decode(row.columns).items()}
    return _distribution(row), DistributionColumns(
        **{name: columns[name] for name in OF_OPENINGS},
        holders=Holders(**{name: columns[name] for name in OF_HOLDERS}, whole=row.whole),
        shares=Shares(**{name: columns[name] for name in OF_SHARES}),
    )


async def list_distributions(
    tx: AsyncConnection, label: int, wanted: DistributionFilter, *, before: int, limit: int
) -> list[Distribution]:
    """Newest first, those with an id below `before`."""
    query = select(*HEADER).where(distributions.c.label == label, distributions.c.allocation_id < before)
    if wanted.master_id:
        query = query.where(distributions.c.master_id == wanted.master_id)
    if wanted.only_unpaid:
        unpaid = (payouts.c.allocation_id == distributions.c.allocation_id) & payouts.c.state.in_(UNPAID)
        query = query.where(exists().where(unpaid))
    if wanted.only_undistributed:
        query = query.where(distributions.c.undistributed_minor != 0)
    result = await tx.execute(query.order_by(distributions.c.allocation_id.desc()).limit(limit))
    return [_distribution(row) for row in result]


async def sum_undistributed(tx: AsyncConnection, since: datetime) -> list[UndistributedSum]:
    """Money of deals distributed since a time that belongs to nobody, by label, currency and reason."""
    return [UndistributedSum(**row) for row in await fetch_arrays(tx, UNDISTRIBUTED, since)]


async def sum_undistributed_of_master(tx: AsyncConnection, master_id: int) -> int:
    """Signed: what of all his distributed deals belongs to nobody."""
    (row,) = await fetch_arrays(tx, UNDISTRIBUTED_OF_MASTER, master_id)
    amount_minor: int = row["amount_minor"]
    return amount_minor


def _distribution(row: Row[Any]) -> Distribution:
    return Distribution(
        allocation_id=row.allocation_id,
        label=row.label,
        master_id=row.master_id,
        kind=AllocationKind(row.kind),
        deal_ticket=row.deal_ticket,
        position_ticket=row.position_ticket,
        currency_code=row.currency_code,
        residual_rule=RoundingPolicy(row.residual_rule),
        closed_volume_e8=row.closed_volume_e8,
        money=DealMoney(row.profit_minor, row.swap_minor, row.commission_minor),
        whole=row.whole,
        row_count=row.row_count,
        distributed_minor=row.distributed_minor,
        undistributed_reason=row.undistributed_reason,
        distribute_time=row.distribute_time,
    )
