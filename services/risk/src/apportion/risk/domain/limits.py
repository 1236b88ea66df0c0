"""The daily limit of a master.

    signal equity = base − ⌊base × limit⌋        base = equity at day start + deposits − withdrawals since

which is base × (1 − limit) rounded up to the minor unit: an equity in whole minor units is below the one exactly when
it is below the other. A base that is not above 0 has nothing to lose: its signal is the base itself.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from apportion.money import E8, Int64Array, mul_div_floor
from apportion.risk.errors import BasisNotAvailable, LimitLatched, LimitRange

DAY_MS = 86_400_000
HUNDRED_PERCENT_E8 = 100 * E8


class Basis(enum.IntEnum):
    """Numbers as on the wire."""

    EQUITY_AT_DAY_START = 1
    BALANCE_AT_DAY_START = 2
    HIGHER_OF_BOTH = 3
    INITIAL_BALANCE = 4
    TRAILING_PEAK = 5


AVAILABLE_BASES = frozenset({Basis.EQUITY_AT_DAY_START})


class LimitState(enum.IntEnum):
    """Numbers as on the wire. WAITING → ARMED → TRIPPED → CLOSING → CLOSED → WAITING; ARMED again each server day."""

    WAITING = 1
    ARMED = 2
    TRIPPED = 3
    CLOSING = 4
    CLOSED = 5


class Alarm(enum.StrEnum):
    """Why a breach is held back for a moment, or could not be seen."""

    NONE = ""
    PRICE_SUSPECT = "PRICE_SUSPECT"
    STATE_STALE = "STATE_STALE"
    STATE_MISSING = "STATE_MISSING"
    BALANCE_UNEXPLAINED = "BALANCE_UNEXPLAINED"


@dataclass(frozen=True, slots=True)
class MasterAccount:
    """The trading account of a master, as allocation knows it."""

    master_id: int
    account_id: int
    trading_server_id: int
    currency_code: str


@dataclass(frozen=True, slots=True)
class DailyLimit:
    """A limit with its day start. The day start is what one snapshot of the server showed, and that snapshot contains
    exactly the deals up to `day_start_ticket`; everything is 0 while WAITING for the first.
    """

    label: int
    master_id: int
    account_id: int
    trading_server_id: int
    currency_code: str
    limit_percent_e8: int
    basis: Basis
    state: LimitState
    server_day: int
    day_start_equity_minor: int
    day_start_balance_minor: int
    day_start_credit_minor: int
    day_start_time_ms: int
    day_start_ticket: int
    day_flow_minor: int
    trip_id: int
    alarm: Alarm
    version: int
    update_time: datetime

    @property
    def etag(self) -> str:
        return str(self.version)

    @property
    def signal_equity_minor(self) -> int:
        """Below it the limit trips."""
        base = self.day_start_equity_minor + self.day_flow_minor
        return int(signals(np.array([base]), np.array([self.limit_percent_e8]))[0])


@dataclass(frozen=True, slots=True)
class NewDayStart:
    """What a snapshot showed at the start of a limit's day."""

    limit: DailyLimit
    equity_minor: int
    balance_minor: int
    credit_minor: int
    ticket: int


def signals(bases_minor: Int64Array, percents_e8: Int64Array) -> Int64Array:
    """The signal equities of many limits."""
    allowed_losses: Int64Array = mul_div_floor(np.maximum(bases_minor, 0), percents_e8, HUNDRED_PERCENT_E8)
    return bases_minor - allowed_losses


def server_day_of(server_time_ms: int) -> int:
    """Number of the server's own calendar day: its raw time already is civil time of its zone."""
    return server_time_ms // DAY_MS


def check_limit(limit_percent_e8: int, basis: Basis) -> None:
    """Raises LimitRange or BasisNotAvailable."""
    if not 0 < limit_percent_e8 <= HUNDRED_PERCENT_E8:
        raise LimitRange(
            f"limit of {limit_percent_e8} e-8 percent is not above 0 and at most 100 %",
            limit_percent_e8=limit_percent_e8,
        )
    if basis not in AVAILABLE_BASES:
        raise BasisNotAvailable(f"basis {basis.name} is not available", basis=basis.name)


def check_not_latched(limit: DailyLimit) -> None:
    """Raises LimitLatched from the trip until the next day start."""
    if limit.trip_id:
        raise LimitLatched(
            f"master {limit.master_id} tripped on server day {limit.server_day}",
            master_id=limit.master_id,
            trip_id=limit.trip_id,
            server_day=limit.server_day,
        )
