"""Records as the Web API prints them: every scalar a string."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from apportion.mt5_simulator.codes import ORDER_STATE_FILLED, VOLUME_UNIT_E8
from apportion.mt5_simulator.domain.figures import E8, format_mean, format_price, format_scaled
from apportion.mt5_simulator.domain.quotes import Quote
from apportion.mt5_simulator.domain.records import Deal, Order, Position, User
from apportion.mt5_simulator.domain.settings import GroupSettings, ServerSettings, SymbolSettings
from apportion.mt5_simulator.domain.valuation import AccountState, Valuation

Object = dict[str, object]
_PRINTED_ACCOUNTS = 131_072


def render_user(user: User, digits: int) -> Object:
    first, _, last = user.name.partition(" ")
    return {
        "Login": str(user.login),
        "Group": user.group,
        "CertSerialNumber": "0",
        "Rights": str(user.rights),
        "Registration": str(user.registration_ms // 1000),
        "LastAccess": str(user.registration_ms // 1000),
        "LastPassChange": str(user.registration_ms // 1000),
        "Name": user.name,
        "FirstName": first,
        "LastName": last,
        "Leverage": str(user.leverage),
        "Balance": format_scaled(user.balance_minor, digits),
        "Credit": format_scaled(user.credit_minor, digits),
        **_NO_TEXTS,
        **user.profile,
        "ApiData": [],
    }


USER_TEXTS = (
    "MiddleName", "Company", "Account", "Country", "Language", "City", "State", "ZIPCode", "Address", "Phone", "Email",
    "ID", "Status", "Comment", "Color", "PhonePassword", "Agent", "LeadSource", "LeadCampaign",
)  # fmt: skip
_NO_TEXTS = dict.fromkeys(USER_TEXTS, "")


@lru_cache(_PRINTED_ACCOUNTS)
def print_account(state: AccountState) -> msgspec.Raw:
    """The JSON of `render_account`. Of a whole broker's accounts few have changed since they were last printed."""
    return msgspec.Raw(msgspec.json.encode(render_account(state)))


def render_account(state: AccountState) -> Object:
    digits = state.currency_digits
    nothing, equity = format_scaled(0, digits), format_scaled(state.equity_minor, digits)
    return {
        "Login": str(state.login),
        "CurrencyDigits": str(digits),
        "Balance": format_scaled(state.balance_minor, digits),
        "Credit": format_scaled(state.credit_minor, digits),
        "Margin": format_scaled(state.margin_minor, digits),
        "MarginFree": format_scaled(state.margin_free_minor, digits),
        "MarginLevel": f"{state.margin_level_percent:.2f}",
        "MarginLeverage": str(state.leverage),
        "MarginInitial": nothing,
        "MarginMaintenance": nothing,
        "Profit": format_scaled(state.profit_minor, digits),
        "Storage": format_scaled(state.storage_minor, digits),
        "Floating": format_scaled(state.floating_minor, digits),
        "Equity": equity,
        "SOActivation": str(int(state.activation)),
        "SOTime": "0",
        "SOLevel": "0.00",
        "SOEquity": nothing,
        "SOMargin": nothing,
        "BlockedCommission": nothing,
        "BlockedProfit": nothing,
        "Assets": equity,
        "Liabilities": nothing,
    }


def volume_fields(name: str, volume_e8: int) -> dict[str, str]:
    return {name: str(volume_e8 // VOLUME_UNIT_E8), f"{name}Ext": str(volume_e8)}


def _times(name: str, time_ms: int) -> Object:
    return {name: str(time_ms // 1000), f"{name}Msc": str(time_ms)}


class Renderer:
    """Prints what needs the symbol's and the currency's digits."""

    def __init__(self, valuation: Valuation) -> None:
        self._valuation = valuation
        self._symbols = valuation.board.symbols

    def _digits(self, login: int) -> int:
        user = self._valuation.ledger.users.get(login)
        return 2 if user is None else self._valuation.groups[user.group].currency_digits

    def user(self, user: User) -> Object:
        return render_user(user, self._digits(user.login))

    def position(self, position: Position) -> Object:
        symbol = self._symbols[position.symbol]
        group = self._valuation.group_of(position.login)
        digits, money = symbol.digits, group.currency_digits
        return {
            "Position": str(position.position),
            "ExternalID": "",
            "Login": str(position.login),
            "Dealer": str(position.dealer),
            "Symbol": position.symbol,
            "Action": str(int(position.side)),
            "Digits": str(digits),
            "DigitsCurrency": str(money),
            "Reason": str(int(position.reason)),
            "ContractSize": format_scaled(symbol.contract_size_e8, 8),
            **_times("TimeCreate", position.time_create_ms),
            **_times("TimeUpdate", position.time_update_ms),
            "ModificationFlags": "0",
            "PriceOpen": format_mean(position.price_open_e8, digits),
            "PriceCurrent": format_price(self._valuation.close_price_e8(position), digits),
            "PriceSL": format_price(position.price_sl_e8, digits),
            "PriceTP": format_price(position.price_tp_e8, digits),
            **volume_fields("Volume", position.volume_e8),
            "Profit": format_scaled(self._valuation.position_profit_minor(position, group), money),
            "Storage": format_scaled(position.storage_minor, money),
            "RateProfit": format_price(self._valuation.rate_profit_e8(position.symbol, group), 8),
            "RateMargin": format_price(position.rate_margin_e8, 8),
            "ExpertID": "0",
            "ExpertPositionID": "0",
            "Comment": position.comment,
            "ActivationMode": "0",
            "ActivationTime": "0",
            "ActivationPrice": format_price(0, digits),
            "ActivationFlags": "0",
            "ApiData": position.api_data,
        }

    def order(self, order: Order) -> Object:
        symbol = self._symbols[order.symbol]
        digits = symbol.digits
        return {
            "Order": str(order.order),
            "ExternalID": "",
            "Login": str(order.login),
            "Dealer": str(order.dealer),
            "Symbol": order.symbol,
            "Digits": str(digits),
            "DigitsCurrency": str(self._digits(order.login)),
            "ContractSize": format_scaled(symbol.contract_size_e8, 8),
            "State": str(ORDER_STATE_FILLED),
            "Reason": str(int(order.reason)),
            **_times("TimeSetup", order.time_setup_ms),
            "TimeExpiration": "0",
            **_times("TimeDone", order.time_done_ms),
            "Type": str(int(order.side)),
            "TypeFill": "0",
            "TypeTime": "0",
            "PriceOrder": format_price(order.price_e8, digits),
            "PriceTrigger": format_price(0, digits),
            "PriceCurrent": format_price(order.price_e8, digits),
            "PriceSL": format_price(order.price_sl_e8, digits),
            "PriceTP": format_price(order.price_tp_e8, digits),
            **volume_fields("VolumeInitial", order.volume_e8),
            **volume_fields("VolumeCurrent", 0),
            "ExpertID": "0",
            "PositionID": str(order.position),
            "PositionByID": "0",
            "Comment": order.comment,
            "ModificationFlags": "0",
            "ApiData": order.api_data,
        }

    def deal(self, deal: Deal) -> Object:
        symbol = self._symbols.get(deal.symbol)
        digits = symbol.digits if symbol else 0
        money = self._digits(deal.login)
        return {
            "Deal": str(deal.deal),
            "ExternalID": "",
            "Login": str(deal.login),
            "Dealer": str(deal.dealer),
            "Order": str(deal.order),
            "Action": str(deal.action),
            "Entry": str(deal.entry),
            "Reason": str(int(deal.reason)),
            "Digits": str(digits),
            "DigitsCurrency": str(money),
            "ContractSize": format_scaled(symbol.contract_size_e8 if symbol else 0, 8),
            **_times("Time", deal.time_ms),
            "Symbol": deal.symbol,
            "Price": format_price(deal.price_e8, digits),
            "PriceSL": format_price(deal.price_sl_e8, digits),
            "PriceTP": format_price(deal.price_tp_e8, digits),
            "PricePosition": format_mean(deal.price_position_e8, digits),
            **volume_fields("Volume", deal.volume_e8),
            **volume_fields("VolumeClosed", deal.volume_closed_e8),
            "Profit": format_scaled(deal.profit_minor, money),
            "ProfitRaw": format_scaled(deal.profit_minor, money),
            "Value": format_scaled(0, money),
            "Storage": format_scaled(deal.storage_minor, money),
            "Commission": format_scaled(deal.commission_minor, money),
            "RateProfit": format_price(deal.rate_profit_e8, 8),
            "RateMargin": format_price(deal.rate_margin_e8, 8),
            "ExpertID": "0",
            "PositionID": str(deal.position),
            "Comment": deal.comment,
            "TickValue": "0.00000",
            "TickSize": "0.00000",
            "Flags": "0",
            "Gateway": "",
            "PriceGateway": format_price(0, digits),
            "MarketBid": format_price(deal.bid_e8, digits),
            "MarketAsk": format_price(deal.ask_e8, digits),
            "MarketLast": format_price(0, digits),
            "ModificationFlags": "0",
            "ApiData": deal.api_data,
        }


def render_group(group: GroupSettings, server: ServerSettings) -> Object:
    return {
        "Group": group.name,
        "Server": "1",
        "PermissionsFlags": "2",
        "AuthMode": "0",
        "AuthPasswordMin": "8",
        "Company": server.name,
        "Currency": group.currency,
        "CurrencyDigits": str(group.currency_digits),
        "MarginMode": str(int(group.margin_mode)),
        "MarginSOMode": "0",
        "MarginCall": f"{group.margin_call_percent}.00",
        "MarginStopOut": f"{group.stop_out_percent}.00",
        "TradeFlags": "0",
        "DemoLeverage": str(group.leverage),
        "LimitOrders": "0",
        "LimitPositions": str(group.limit_positions),
        "Commissions": [],
        "Symbols": [],
    }


def render_symbol(symbol: SymbolSettings) -> Object:
    return {
        "Symbol": symbol.name,
        "Path": symbol.path,
        "Description": f"{symbol.base} vs {symbol.profit}",
        "CurrencyBase": symbol.base,
        "CurrencyProfit": symbol.profit,
        "CurrencyMargin": symbol.base,
        "Digits": str(symbol.digits),
        "Point": format_price(symbol.point_e8, 8),
        "TradeMode": str(int(symbol.trade_mode)),
        "CalcMode": "0",
        "ExecMode": "2",
        "FillFlags": str(symbol.fill_flags),
        "OrderFlags": "127",
        "ContractSize": format_scaled(symbol.contract_size_e8, 8),
        "TickSize": format_price(symbol.point_e8, 8),
        "TickValue": format_price(0, 8),
        **volume_fields("VolumeMin", symbol.volume_min_e8),
        **volume_fields("VolumeMax", symbol.volume_max_e8),
        **volume_fields("VolumeStep", symbol.volume_step_e8),
        **volume_fields("VolumeLimit", 0),
        "MarginInitialBuy": format_price(E8, 8),
        "MarginInitialSell": format_price(E8, 8),
        "StopsLevel": str(symbol.stops_level_points),
        "FreezeLevel": "0",
        "SpreadBalance": "0",
        "SwapMode": "1",
        "SwapLong": format_price(symbol.swap_long_e8, 8),
        "SwapShort": format_price(symbol.swap_short_e8, 8),
        "Swap3Day": str(symbol.swap_3day),
    }


def render_tick(quote: Quote, digits: int) -> Object:
    return {
        "Symbol": quote.symbol,
        "Digits": str(digits),
        "Datetime": str(quote.time_ms // 1000),
        "DatetimeMsc": str(quote.time_ms),
        "Bid": format_price(quote.bid_e8, digits),
        "Ask": format_price(quote.ask_e8, digits),
        "Last": format_price(0, digits),
        "Volume": "0",
        "VolumeReal": "0.00",
    }
