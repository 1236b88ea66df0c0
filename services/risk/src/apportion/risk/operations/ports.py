"""What this service asks of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from apportion.risk.domain.limits import MasterAccount
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.domain.trips import Close, Trip

TripPayload = Callable[[Trip], bytes]
"""The TripChanged message of a trip, serialized."""


class Masters(Protocol):
    """allocation. Each method raises the error of its call."""

    async def master_account(self, label: int, master_id: int) -> MasterAccount:
        """Raises NotFound."""
        ...

    async def halt(self, label: int, master_id: int, cause: str, request_id: UUID) -> None:
        """Latches the master: its opening trades are no longer allocated."""
        ...

    async def resume(self, label: int, master_id: int, cause: str, request_id: UUID) -> None:
        """Releases the latch that `cause` holds; one that it does not hold (any more) is left alone."""
        ...


@dataclass(frozen=True, slots=True)
class ClosingReport:
    """How far the closing of an account is. `flat_time` is None until the server showed it flat."""

    flat_time: datetime | None
    closes: tuple[Close, ...]
    last_error: str


class Accounts(Protocol):
    """platform-groups. Each method raises the error of its call."""

    async def close_all(self, label: int, account_id: int, cause: str, request_id: UUID) -> int:
        """The id of the closing, which goes on by itself until the account is flat."""
        ...

    async def closing(self, label: int, closing_id: int) -> ClosingReport: ...

    async def has_positions(self, label: int, account_id: int) -> bool:
        """Asked of the trading server itself."""
        ...

    async def set_read_only(
        self, label: int, account_id: int, read_only: bool, cause: str, request_id: UUID
    ) -> None: ...


class AccountStatesSource(Protocol):
    """Where the live states of a trading server's accounts come from."""

    async def newest(self, label: int, trading_server_id: int) -> Snapshot | None:
        """The newest snapshot that the source has, however old; None when it has none. Raises the error of its call."""
        ...
