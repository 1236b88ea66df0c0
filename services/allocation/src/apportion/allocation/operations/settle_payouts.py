"""Take note of what became of payouts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.payouts import Backoff, PayoutResult
from apportion.allocation.storage.payouts import settle

log = structlog.get_logger()


async def settle_payouts(
    tx: AsyncConnection, label: int, results: Sequence[PayoutResult], *, now: datetime, backoff: Backoff
) -> None:
    """Paid shares are done; refused ones are owed, visible, and come up again after a wait."""
    paid_count, refused_count = await settle(tx, label, results, now=now, backoff=backoff)
    log.info("payouts_settled", label=label, paid_count=paid_count, refused_count=refused_count)
