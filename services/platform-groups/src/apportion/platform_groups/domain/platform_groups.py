"""A platform group: where and with which settings accounts are created."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apportion.platform_groups.domain.states import GroupState, MarginMode
from apportion.platform_groups.errors import CommentsHidden, GroupFull, GroupNotEnabled, LeverageRange

MAX_LEVERAGE = 500
"""The Web API's own limit."""
MAX_CURRENCY_DIGITS = 8
"""Likewise: of BTC, and of nothing finer."""


@dataclass(frozen=True, slots=True)
class PlatformGroup:
    platform_group_id: int
    label: int
    trading_server_id: int
    server_name: str
    """Of its trading server."""
    name: str
    server_group: str
    currency_code: str
    currency_digits: int
    margin_mode: MarginMode
    default_leverage: int
    account_capacity: int
    weight: int
    tags: tuple[str, ...]
    state: GroupState
    backup_platform_group_id: int
    create_time: datetime
    comments_hidden: bool = False
    """Whether its trading server keeps the comments of accounts from our manager."""


@dataclass(frozen=True, slots=True)
class NewGroup:
    trading_server_id: int
    name: str
    server_group: str
    currency_code: str
    default_leverage: int
    account_capacity: int
    weight: int
    tags: tuple[str, ...]
    backup_platform_group_id: int


def check_leverage(leverage: int) -> None:
    """Raises LeverageRange."""
    if not 1 <= leverage <= MAX_LEVERAGE:
        raise LeverageRange(f"leverage {leverage} is not from 1 to {MAX_LEVERAGE}", leverage=leverage)


def check_accepts_account(group: PlatformGroup, account_count: int) -> None:
    """Raises GroupNotEnabled, CommentsHidden, GroupFull."""
    if group.state is not GroupState.ENABLED:
        raise GroupNotEnabled(
            f"platform group {group.name} is {group.state.name}",
            platform_group_id=group.platform_group_id,
            name=group.name,
            state=group.state.name,
        )
    if group.comments_hidden:
        raise CommentsHidden(
            f"trading server {group.server_name} does not show the comments of accounts",
            trading_server_id=group.trading_server_id,
            name=group.server_name,
        )
    if group.account_capacity and account_count >= group.account_capacity:
        raise GroupFull(
            f"platform group {group.name} holds {account_count} accounts",
            platform_group_id=group.platform_group_id,
            name=group.name,
            account_count=account_count,
        )
