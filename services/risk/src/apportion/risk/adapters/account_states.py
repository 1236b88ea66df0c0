"""The live state of accounts, from whoever has it."""

from __future__ import annotations

import structlog

from apportion.errors import DomainError
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.operations.ports import AccountStatesSource
from apportion.runtime import Clock

log = structlog.get_logger()


class NewestStates:
    """The weather, unless there is none or it is older than `fallback_seconds`: then platform-groups is asked too."""

    def __init__(
        self, weather: AccountStatesSource, asked: AccountStatesSource, clock: Clock, *, fallback_seconds: float
    ) -> None:
        self._weather = weather
        self._asked = asked
        self._clock = clock
        self._fallback_seconds = fallback_seconds

    async def newest(self, label: int, trading_server_id: int) -> Snapshot | None:
        """The one observed last, None while neither source has any. A source that fails is logged and has none."""
        heard = await _tried(self._weather, label, trading_server_id)
        if heard is not None and self._age_seconds(heard) <= self._fallback_seconds:
            return heard
        asked = await _tried(self._asked, label, trading_server_id)
        known = [snapshot for snapshot in (heard, asked) if snapshot is not None]
        return max(known, key=lambda snapshot: snapshot.version, default=None)

    def _age_seconds(self, snapshot: Snapshot) -> float:
        return (self._clock.now() - snapshot.observed_time).total_seconds()


async def _tried(source: AccountStatesSource, label: int, trading_server_id: int) -> Snapshot | None:
    try:
        return await source.newest(label, trading_server_id)
    except DomainError as error:
        log.warning(
            "account_states_unavailable",
            trading_server_id=trading_server_id,
            source=type(source).__name__,
            cause=str(error),
        )
        return None
