"""Show those who hold artificial records what the positions of their masters would bring now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.positions import PositionReport
from apportion.allocation.operations.ports import Positions
from apportion.allocation.storage.record_openings import OpenOpening, list_open_openings, save_floating
from apportion.errors import DomainError
from apportion.money import Int64Array, largest_remainder
from apportion.storage import transaction

log = structlog.get_logger()

MAX_ACCOUNTS = 5_000


async def refresh_floating(engine: AsyncEngine, positions: Positions, label: int, trading_server_id: int) -> int:
    """Asks a server for the open positions of all masters who distribute profit. Returns how many openings were
    refreshed.

    What a server does not tell stays as it was, and an older report never replaces a newer one.
    """
    async with transaction(engine) as tx:
        openings = await list_open_openings(tx, label, trading_server_id)
    refreshed_count = 0
    account_ids = sorted({opening.account_id for opening in openings})
    for first in range(0, len(account_ids), MAX_ACCOUNTS):
        try:
            report = await positions.report(label, account_ids[first : first + MAX_ACCOUNTS])
        except DomainError as error:
            log.warning("floating_not_refreshed", label=label, trading_server_id=trading_server_id, reason=error.reason)
            continue
        allocation_ids, floating_minor = _by_opening(openings, report)
        async with transaction(engine) as tx:
            await save_floating(tx, allocation_ids, floating_minor, report.observed_time)
        refreshed_count += len(allocation_ids)
    return refreshed_count


def _by_opening(openings: Sequence[OpenOpening], report: PositionReport) -> tuple[list[int], Int64Array]:
    """Each position's floating profit by what is open of its openings; positions that are gone are left out."""
    floating = dict(zip(report.position_tickets.tolist(), report.floating_minor.tolist(), strict=True))
    allocation_ids: list[int] = []
    parts = [np.empty(0, dtype=np.int64)]
    for (_, ticket), group in groupby(openings, key=lambda row: (row.account_id, row.position_ticket)):
        if ticket in floating:
            of_position = list(group)
            allocation_ids += [opening.allocation_id for opening in of_position]
            volumes_e8 = np.array([opening.open_volume_e8 for opening in of_position])
            parts.append(largest_remainder(floating[ticket], volumes_e8))
    return allocation_ids, np.concatenate(parts)
