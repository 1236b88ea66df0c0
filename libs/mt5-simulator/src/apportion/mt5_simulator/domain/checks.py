"""What a trade must fulfil before it is done; each check raises Refused with the server's return code."""

from __future__ import annotations

from apportion.mt5_simulator.codes import Refused, Retcode, Rights, Side, TradeMode
from apportion.mt5_simulator.domain.quotes import Quote
from apportion.mt5_simulator.domain.records import MarketRequest, User
from apportion.mt5_simulator.domain.settings import SymbolSettings


def check_entry(user: User, symbol: SymbolSettings, request: MarketRequest, quote: Quote) -> None:
    """What opening a position, enlarging it or turning it around asks for."""
    require_trading_right(user)
    check_trade_mode(symbol, request.side)
    check_volume(symbol, request.volume_e8)
    check_stops(symbol, request.side, quote, request.price_sl_e8, request.price_tp_e8)


def require_trading_right(user: User) -> None:
    if user.rights & Rights.TRADE_DISABLED or not user.rights & Rights.ENABLED:
        raise Refused(Retcode.TRADE_DISABLED)


def check_trade_mode(symbol: SymbolSettings, side: Side) -> None:
    """Whether a position of this side may be opened or enlarged."""
    if symbol.trade_mode is TradeMode.DISABLED:
        raise Refused(Retcode.TRADE_DISABLED)
    if symbol.trade_mode is TradeMode.CLOSE_ONLY:
        raise Refused(Retcode.CLOSE_ONLY)
    if symbol.trade_mode is TradeMode.LONG_ONLY and side is Side.SELL:
        raise Refused(Retcode.LONG_ONLY)
    if symbol.trade_mode is TradeMode.SHORT_ONLY and side is Side.BUY:
        raise Refused(Retcode.SHORT_ONLY)


def check_volume(symbol: SymbolSettings, volume_e8: int) -> None:
    if not symbol.volume_min_e8 <= volume_e8 <= symbol.volume_max_e8 or volume_e8 % symbol.volume_step_e8:
        raise Refused(Retcode.INVALID_VOLUME)


def check_stops(symbol: SymbolSettings, side: Side, quote: Quote, sl_e8: int, tp_e8: int) -> None:
    """A stop must lie where the market is not yet, by the symbol's stops level: a buy's loss below the bid, its profit
    above. 0 is no stop."""
    below, above = (sl_e8, tp_e8) if side is Side.BUY else (tp_e8, sl_e8)
    price_e8 = quote.bid_e8 if side is Side.BUY else quote.ask_e8
    room_e8 = max(symbol.stops_level_points * symbol.point_e8, 1)
    if min(sl_e8, tp_e8) < 0 or (below and price_e8 - below < room_e8) or (above and above - price_e8 < room_e8):
        raise Refused(Retcode.INVALID_STOPS)
