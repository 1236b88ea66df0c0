"""Take note of what became of transfers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.fees.domain.charge import Backoff, TransferResult
from apportion.fees.storage.charges import settle

log = structlog.get_logger()


async def settle_transfers(
    tx: AsyncConnection, label: int, results: Sequence[TransferResult], *, now: datetime, backoff: Backoff
) -> None:
    """Paid charges are done; refused ones are owed and come up again after a wait, or with the payer's next close."""
    paid_count, outstanding_count = await settle(tx, label, results, now=now, backoff=backoff)
    log.info("transfers_settled", label=label, paid_count=paid_count, outstanding_count=outstanding_count)
