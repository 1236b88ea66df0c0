"""Closing all positions of one account until the server itself, twice and completely, reports none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apportion.platform_groups.domain.orders import backoff_seconds
from apportion.platform_groups.domain.states import ClosingState

FLAT_READS = 2


@dataclass(frozen=True, slots=True)
class Closing:
    """`position_tickets`, `prices_e8`, `volumes_e8` (signed like the closing trades) and `server_times_ms` (raw server
    time) tell what was closed so far."""

    closing_id: int
    label: int
    account_id: int
    trading_server_id: int
    state: ClosingState
    attempt_count: int
    attempt_time: datetime | None
    flat_count: int
    last_error: str
    create_time: datetime
    flat_time: datetime | None
    position_tickets: tuple[int, ...] = ()
    prices_e8: tuple[int, ...] = ()
    volumes_e8: tuple[int, ...] = ()
    server_times_ms: tuple[int, ...] = ()


def may_try(closing: Closing, now: datetime) -> bool:
    """The first attempt at once, further ones after 0.5, 1, … 5 seconds: a refusal for good is not asked in a hurry."""
    if closing.attempt_time is None:
        return True
    return now >= closing.attempt_time + timedelta(seconds=backoff_seconds(closing.attempt_count))


def source_of(closing_id: int, attempt_count: int) -> str:
    """Names the close orders of one attempt: an attempt orders each position ticket at most once."""
    return f"closing/{closing_id}/{attempt_count}"
