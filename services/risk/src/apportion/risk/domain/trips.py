"""A trip: a broken limit on its way from the decision to the next day start.

TRIPPED ──halt, close all──▶ CLOSING ──flat, read-only, still flat──▶ CLOSED ──next server day──▶ REARMED
                                └◀─────────── opened after all ─────────┘

The first close is asked for while the account has full access, so that it depends on nothing else; once the server
shows it flat the account becomes read-only, and whatever its owner opened in between is closed again, which a dealer
may do on a read-only account.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from apportion.risk.domain.limits import Alarm, Basis, LimitState
from apportion.risk.domain.snapshots import SnapshotSource

NAMESPACE = UUID("0f9a5a52-6c2f-4a53-8f4c-9a1f6cf3f3d7")


class TripState(enum.IntEnum):
    """Numbers as on the wire."""

    TRIPPED = 1
    CLOSING = 2
    CLOSED = 3
    REARMED = 4


LIMIT_STATES = {
    TripState.TRIPPED: LimitState.TRIPPED,
    TripState.CLOSING: LimitState.CLOSING,
    TripState.CLOSED: LimitState.CLOSED,
    TripState.REARMED: LimitState.WAITING,
}
"""What the limit shows meanwhile. After REARMED the next snapshot makes its new day start."""


@dataclass(frozen=True, slots=True)
class Price:
    """A price at the decision."""

    symbol: str
    bid_e8: int
    ask_e8: int
    server_time_ms: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """The newest price of each symbol, read at `observed_time`; the newest of all is of `server_time_ms`."""

    observed_time: datetime
    server_time_ms: int
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """A position closed by the trip. `server_time_ms` is raw server time; 0 where it was not told."""

    position_ticket: int
    volume_e8: int
    price_e8: int
    server_time_ms: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why the limit tripped: the snapshot, what it was measured against, and when."""

    server_day: int
    day_start_equity_minor: int
    day_flow_minor: int
    limit_percent_e8: int
    basis: Basis
    signal_equity_minor: int
    equity_minor: int
    balance_minor: int
    unexplained_minor: int
    previous_equity_minor: int
    alarm: Alarm
    snapshot_source: SnapshotSource
    server_time_ms: int
    observed_time: datetime
    decide_time: datetime


@dataclass(frozen=True, slots=True)
class Trip:
    """A trip as it stands. `closing_round` counts how often everything was closed; times are None until they come."""

    trip_id: int
    label: int
    master_id: int
    account_id: int
    trading_server_id: int
    state: TripState
    evidence: Evidence
    is_halted: bool
    closing_id: int
    closing_round: int
    flat_time: datetime | None
    achieved_equity_minor: int
    rearm_time: datetime | None
    attempt_count: int
    failure_count: int
    last_error: str
    next_attempt_time: datetime

    @property
    def cause(self) -> str:
        """Named in everything that is asked of others because of this trip."""
        return f"risk/trip/{self.trip_id}"

    def request_id(self, step: str) -> UUID:
        """The same for every repeat of a step, whoever repeats it."""
        return uuid5(NAMESPACE, f"{self.label}/{self.trip_id}/{step}")


@dataclass(frozen=True, slots=True)
class TripDetails:
    """A trip with what is read only for somebody who asks for this one."""

    trip: Trip
    prices: tuple[Price, ...]
    closes: tuple[Close, ...]
