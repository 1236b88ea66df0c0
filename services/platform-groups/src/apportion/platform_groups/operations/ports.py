"""What the operations need and do not own: trading servers, ids, passwords."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from apportion.api.platform_groups.v1.events_pb2 import AccountStates, Ticks
from apportion.platform_groups.domain.orders import Answer, SentOrder
from apportion.platform_groups.domain.server_facts import (
    AccountStateColumns,
    NewUser,
    ServerDeal,
    ServerGroup,
    ServerPosition,
    ServerTick,
    ServerUser,
    SymbolListing,
)
from apportion.platform_groups.domain.transfers import SentLeg

NewId = Callable[[], uuid.UUID]
NewPassword = Callable[[], str]
Permit = Callable[[], bool]
"""Asked right before a write, after all waiting for a connection: whether it is still ours to send. False: NotSent."""


class TradingServerPort(Protocol):
    """One trading server, whatever its make.

    Reads raise ServerUnreachable or ServerRefused. Writes raise NotSent, OutcomeUnknown or ServerRefused.
    """

    async def server_time_ms(self) -> int:
        """Raw time in the server's own zone."""
        ...

    async def group(self, name: str) -> ServerGroup | None: ...

    async def add_user(self, user: NewUser, permit: Permit) -> ServerUser:
        """A write; the account as the server shows it."""
        ...

    async def user(self, login: int) -> ServerUser | None: ...

    async def users_of_group(self, server_group: str) -> list[ServerUser]:
        """All accounts of a group: a complete report."""
        ...

    async def logins_of_group(self, server_group: str) -> list[int]:
        """The same, by login alone."""
        ...

    async def set_rights(self, login: int, rights: int, permit: Permit) -> None:
        """A write, and idempotent."""
        ...

    async def set_passwords(self, login: int, main_password: str, investor_password: str, permit: Permit) -> None:
        """Two writes, each idempotent: after a failure one of them may have run."""
        ...

    async def has_passwords(self, login: int, main_password: str, investor_password: str) -> bool:
        """Whether both are the account's passwords now."""
        ...

    async def positions(self, login: int) -> list[ServerPosition]:
        """All open positions of an account: a complete report, checked against the server's own count."""
        ...

    async def positions_of_logins(self, logins: Sequence[int]) -> list[ServerPosition]: ...

    async def deals_of_logins(self, logins: Sequence[int], from_ms: int, to_ms: int) -> list[ServerDeal]:
        """All deals of these accounts in a span of raw server time."""
        ...

    async def deals_of_groups(self, server_groups: Sequence[str], from_ms: int, to_ms: int) -> list[ServerDeal]: ...

    async def symbols(self, names: Sequence[str]) -> SymbolListing:
        """Empty names: all."""
        ...

    async def book_leg(self, leg: SentLeg, permit: Permit) -> int:
        """A balance operation with the leg's token in its comment, a write; returns the deal's ticket."""
        ...

    async def account_states(self, server_groups: Sequence[str]) -> AccountStateColumns:
        """Accounts for which the server keeps a state; the others are absent."""
        ...

    async def booked_states(self, server_groups: Sequence[str]) -> AccountStateColumns:
        """All accounts by their booked balance and credit, as if without positions."""
        ...

    async def changed_ticks(self) -> list[ServerTick]:
        """Prices that changed since the last call on this port."""
        ...


class DealerSession(Protocol):
    """A connection on which orders are sent and their answers read."""

    @property
    def outstanding_count(self) -> int:
        """Orders sent whose answer has not come."""
        ...

    async def prices(self, symbols: Sequence[str]) -> dict[str, ServerTick]:
        """The server's prices of this moment, of those symbols that have one. Raises ServerFailure."""
        ...

    async def positions(self, login: int) -> list[ServerPosition]:
        """All that an account has open at this moment. Raises ServerFailure."""
        ...

    async def send(self, order: SentOrder, permit: Permit) -> Answer | None:
        """Puts the order on the wire. An answer that came at once, such as a refusal; None: ask `collect`."""
        ...

    async def collect(self) -> list[tuple[SentOrder, Answer]]:
        """Answers that came by now; LOST for what can never be answered any more."""
        ...


class TradingServersPort(Protocol):
    """All trading servers by id, with their credentials opened where they are needed."""

    async def get(self, trading_server_id: int) -> TradingServerPort:
        """Raises NotFound, HostNotAllowed, KekMissing, CredentialIntegrity."""
        ...

    async def reserved(self, trading_server_id: int) -> TradingServerPort:
        """One with connections of its own for what stops losses: reports of closings, rights, account states that are
        asked for. No slow list and no queue of transfers holds that up. Raises like `get`."""
        ...

    def pump(self, trading_server_id: int) -> AbstractAsyncContextManager[TradingServerPort]:
        """One with connections of its own for a while: reading all accounts holds up nobody. Raises like `get`."""
        ...

    async def dealer(self, trading_server_id: int) -> DealerSession:
        """A new session on a connection of its own. Raises like `get`."""
        ...


class VaultPort(Protocol):
    """Seals secrets to the row and field they belong to."""

    def seal(self, secret: str, *, table: str, label: int, row_id: int, field: str) -> bytes: ...

    def open(self, sealed: bytes, *, table: str, label: int, row_id: int, field: str) -> str:
        """Raises KekMissing, CredentialIntegrity."""
        ...


class HostsPort(Protocol):
    """Which hosts we may connect to."""

    async def check(self, host: str) -> None:
        """Raises HostNotAllowed."""
        ...

    def permits(self, address: str) -> bool:
        """Of one address: asked at each connect, for names change what they mean."""
        ...


class WeatherPort(Protocol):
    """Where live states and prices are published; the newest wins. Raises UpstreamUnavailable."""

    async def publish_states(self, states: AccountStates, *, version: int) -> None: ...

    async def publish_ticks(self, ticks: Ticks, *, version: int) -> None: ...


class SnapshotsPort(Protocol):
    """The newest published account states."""

    async def row(self, trading_server_id: int, account_id: int) -> tuple[AccountStates, int] | None:
        """The states of the server and the account's index in them. Raises UpstreamUnavailable."""
        ...
