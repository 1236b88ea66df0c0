"""What this service asks of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from apportion.fees.domain.charge import ReadyTransfer
from apportion.fees.domain.terms import Parties


@dataclass(frozen=True, slots=True)
class TransferBatch:
    """Transfers of one label, master and currency; the id is the same whenever the same items are sent together."""

    request_id: UUID
    label: int
    master_id: int
    currency_code: str
    transfers: Sequence[ReadyTransfer]


class Subscriptions(Protocol):
    """allocation."""

    async def parties(self, label: int, subscription_id: int) -> Parties:
        """Who pays and who is paid. Raises NotFound, or the error of the call."""
        ...


class Transfers(Protocol):
    """platform-groups."""

    async def submit(self, batch: TransferBatch) -> None:
        """Returns when every item is durably accepted, now or earlier. Raises the error of the call."""
        ...
