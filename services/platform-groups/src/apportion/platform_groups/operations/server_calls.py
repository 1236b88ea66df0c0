"""Failures of a trading server, as our callers see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.errors import TradingServerUnavailable


@contextmanager
def server_call(trading_server_id: int) -> Iterator[None]:
    """Turns any failure of a server call into TradingServerUnavailable; handle those that mean something inside."""
    try:
        yield
    except ServerFailure as error:
        raise TradingServerUnavailable(
            f"trading server {trading_server_id}: {type(error).__name__}", trading_server_id=trading_server_id
        ) from error
