"""What this service needs of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from apportion.allocation.domain.accounts import Account, AccountStates
from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.child_orders import ChildOrders
from apportion.allocation.domain.positions import PositionReport
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.storage.leases import Lease


class Accounts(Protocol):
    """Trading accounts at platform-groups."""

    async def account(self, label: int, account_id: int) -> Account:
        """Raises NotFound for an account that the label does not have."""
        ...


class Symbols(Protocol):
    """Symbols of the trading servers."""

    async def spec(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        """May ask for it: not within a transaction. Raises SymbolUnknown, and DomainError when nobody can tell."""
        ...

    def spec_at_hand(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        """As `spec` found it. Raises SymbolUnknown, or UpstreamUnavailable for one that was not asked for."""
        ...

    def at_hand(self, label: int, trading_server_id: int) -> Mapping[str, SymbolSpec]:
        """All that are known of a server, by name; all that it has, after the first question."""
        ...


class Rates(Protocol):
    """Prices of currencies."""

    async def conversion_e8(self, label: int, trading_server_id: int, source: str, target: str) -> int:
        """Price of one unit of `source` in `target`, 1e-8; 0 while no quote leads there."""
        ...


class States(Protocol):
    """The weather: the newest states of a server's accounts."""

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        """None while nothing was heard of the server."""
        ...

    async def ask(self, label: int, trading_server_id: int) -> None:
        """Ask the server, for `newest` to tell; not within a transaction. Without an answer nothing changes."""
        ...


@dataclass(frozen=True, slots=True)
class OrderBatch:
    """At most 5 000 child orders of one allocation."""

    label: int
    request_id: UUID
    source_id: str
    """With an item id it names an order for ever."""
    ordering_key: int
    kind: AllocationKind
    orders: ChildOrders
    reference_price_e8: int
    """What slippage is measured from."""
    not_after_time: datetime | None
    halt_epoch: int
    """Of the master at the decision."""


class Orders(Protocol):
    """Order commands at platform-groups."""

    async def submit(self, batch: OrderBatch) -> None:
        """Durably accepted when it returns; a repeat is no second order. Raises DomainError."""
        ...

    async def void_opens(self, label: int, ordering_key: int, halt_epoch: int) -> None:
        """No open of an older epoch is sent any more, accepted or not, from half a second after it has returned.

        Raises DomainError.
        """
        ...


class Retelling(Protocol):
    """Has platform-groups tell facts again, and books them; facts that are booked already change nothing."""

    async def deals(
        self,
        lease: Lease,
        label: int,
        account_ids: Sequence[int],
        position_tickets: Sequence[int],
        since_time: datetime | None,
    ) -> None:
        """The deals of these positions (columns of one length, one server) that were observed since a time.

        Raises DomainError, and StaleEpoch when the lease has passed on.
        """
        ...

    async def orders(self, lease: Lease, label: int, allocation_id: int) -> None:
        """What became of the opening orders of a decision. Raises DomainError, StaleEpoch."""
        ...


class Positions(Protocol):
    """What is open on the trading servers."""

    async def report(self, label: int, account_ids: Sequence[int]) -> PositionReport:
        """All open positions of accounts of one server, asked of the server itself: all of them or a DomainError.

        Accounts that are not open at platform-groups are named instead. Raises PositionsTooMany for one account.
        """
        ...
