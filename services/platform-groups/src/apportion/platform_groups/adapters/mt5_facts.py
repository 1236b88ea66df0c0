"""Objects of the MT5 Web API as facts of the port."""

from __future__ import annotations

from apportion.mt5.accounts import AccountColumns
from apportion.mt5.deals import Deal
from apportion.mt5.enums import CREDIT_ACTIONS, Reason
from apportion.mt5.enums import MarginMode as Mt5MarginMode
from apportion.mt5.groups import Group
from apportion.mt5.positions import Position
from apportion.mt5.symbols import Symbol
from apportion.mt5.users import User
from apportion.platform_groups.domain.server_facts import (
    AccountStateColumns,
    ServerDeal,
    ServerGroup,
    ServerPosition,
    ServerSymbol,
    ServerUser,
)
from apportion.platform_groups.domain.states import DealAction, DealEntry, MarginMode

CLIENT_REASONS = frozenset(
    {Reason.CLIENT, Reason.EXPERT, Reason.EXTERNAL_CLIENT, Reason.SIGNAL, Reason.MOBILE, Reason.WEB}
)
"""The owner's own trades. An external service acts for the broker, as gateway and synchronization do."""
MARGIN_MODES = {Mt5MarginMode.HEDGING: MarginMode.HEDGING, Mt5MarginMode.NETTING: MarginMode.NETTING}


def deal_of(deal: Deal) -> ServerDeal:
    return ServerDeal(
        deal_ticket=deal.deal,
        login=deal.login,
        order_ticket=deal.order,
        position_ticket=deal.position,
        action=_action(deal),
        entry=DealEntry(deal.entry + 1),
        symbol=deal.symbol if deal.is_trade else "",
        volume_e8=deal.signed_volume_e8,
        price_e8=deal.price_e8 if deal.is_trade else 0,
        profit_minor=deal.profit_minor,
        swap_minor=deal.storage_minor,
        commission_minor=deal.commission_minor,
        server_time_ms=deal.server_time_ms,
        reason=deal.reason,
        stop_loss_e8=deal.price_sl_e8,
        take_profit_e8=deal.price_tp_e8,
        comment=deal.comment,
        by_client=deal.is_trade and deal.reason in CLIENT_REASONS,
    )


def _action(deal: Deal) -> DealAction:
    if deal.is_trade:
        return DealAction.TRADE
    return DealAction.CREDIT if deal.action in CREDIT_ACTIONS else DealAction.BALANCE


def position_of(position: Position) -> ServerPosition:
    return ServerPosition(
        position_ticket=position.position,
        login=position.login,
        symbol=position.symbol,
        volume_e8=position.signed_volume_e8,
        open_price_e8=position.price_open_e8,
        stop_loss_e8=position.price_sl_e8,
        take_profit_e8=position.price_tp_e8,
        profit_minor=position.profit_minor,
        swap_minor=position.storage_minor,
        server_time_ms=position.server_time_ms,
        comment="" if position.reason in CLIENT_REASONS else position.comment,
    )


def group_of(group: Group) -> ServerGroup:
    mode = MARGIN_MODES.get(group.margin_mode, MarginMode.UNKNOWN)  # type: ignore[call-overload]  # any number may come
    return ServerGroup(group.group, group.currency, group.currency_digits, mode)


def user_of(user: User) -> ServerUser:
    return ServerUser(user.login, user.group, user.rights, user.leverage, user.comment, user.name)


def symbol_of(symbol: Symbol) -> ServerSymbol:
    return ServerSymbol(
        name=symbol.symbol,
        digits=symbol.digits,
        base_currency_code=symbol.currency_base,
        profit_currency_code=symbol.currency_profit,
        margin_currency_code=symbol.currency_margin,
        contract_size_e8=symbol.contract_size_e8,
        min_volume_e8=symbol.min_volume_e8,
        max_volume_e8=symbol.max_volume_e8,
        volume_step_e8=symbol.volume_step_e8,
    )


def states_of(columns: AccountColumns) -> AccountStateColumns:
    return AccountStateColumns(
        columns.logins,
        columns.balances_minor,
        columns.credits_minor,
        columns.equities_minor,
        columns.margins_minor,
        columns.free_margins_minor,
        columns.position_flags,
        columns.leverages,
    )
