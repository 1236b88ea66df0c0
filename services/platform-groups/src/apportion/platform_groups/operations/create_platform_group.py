"""Create a platform group on a group that the trading server really has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.platform_groups import (
    MAX_CURRENCY_DIGITS,
    NewGroup,
    PlatformGroup,
    check_leverage,
)
from apportion.platform_groups.domain.server_facts import ServerGroup
from apportion.platform_groups.domain.states import MarginMode
from apportion.platform_groups.errors import (
    CurrencyDigitsUnsupported,
    GroupCurrencyMismatch,
    MarginModeUnsupported,
    ServerGroupUnknown,
)
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.platform_groups import insert_group, load_group
from apportion.platform_groups.storage.trading_servers import load_server
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class GroupRef:
    """The stored answer."""

    platform_group_id: int


async def create_platform_group(
    engine: AsyncEngine, servers: TradingServersPort, key: RequestKey, group: NewGroup, *, now: datetime
) -> PlatformGroup:
    """Raises LeverageRange, NotFound, TradingServerUnavailable, NameTaken, and all that `_checked` does."""
    check_leverage(group.default_leverage)
    async with transaction(engine) as tx:
        await load_server(tx, key.label, group.trading_server_id)
        if group.backup_platform_group_id:
            await load_group(tx, key.label, group.backup_platform_group_id)
    with server_call(group.trading_server_id):
        server = await servers.get(group.trading_server_id)
        on_server = await server.group(group.server_group)
    checked = _checked(group, on_server)
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, GroupRef, now=now)
        if stored is not None:
            return await load_group(tx, key.label, stored.platform_group_id)
        group_id = await insert_group(tx, key.label, group, checked, now=now)
        await store_answer(tx, key, GroupRef(group_id))
        return await load_group(tx, key.label, group_id)


def _checked(group: NewGroup, on_server: ServerGroup | None) -> ServerGroup:
    """Raises ServerGroupUnknown, GroupCurrencyMismatch, CurrencyDigitsUnsupported, MarginModeUnsupported."""
    if on_server is None:
        raise ServerGroupUnknown(
            f"trading server {group.trading_server_id} has no group {group.server_group!r}",
            trading_server_id=group.trading_server_id,
            server_group=group.server_group,
        )
    if on_server.currency_code != group.currency_code:
        raise GroupCurrencyMismatch(
            f"group {group.server_group!r} is in {on_server.currency_code}, not {group.currency_code}",
            server_group=group.server_group,
            server_currency=on_server.currency_code,
            currency=group.currency_code,
        )
    if not 0 <= on_server.currency_digits <= MAX_CURRENCY_DIGITS:
        raise CurrencyDigitsUnsupported(
            f"group {group.server_group!r} counts {on_server.currency_code} with {on_server.currency_digits} digits",
            server_group=group.server_group,
            currency_digits=on_server.currency_digits,
        )
    if on_server.margin_mode is MarginMode.UNKNOWN:
        raise MarginModeUnsupported(
            f"group {group.server_group!r} is of neither hedging nor netting accounts", server_group=group.server_group
        )
    return on_server
