"""Market orders: open, close, modify. Hedging accounts; fills are complete, at the server's own bid or ask."""

from __future__ import annotations

from apportion.mt5_simulator.codes import (
    COMMENT_LENGTH,
    Entry,
    Reason,
    Refused,
    RequestFlags,
    Retcode,
    Rights,
    Side,
    TradeMode,
)
from apportion.mt5_simulator.domain.figures import E8, divide_half_up
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.quotes import Quote, QuoteBoard
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, ModifyRequest, Order, Position, User
from apportion.mt5_simulator.domain.settings import GroupSettings, SymbolSettings
from apportion.mt5_simulator.domain.valuation import Valuation


class Trading:
    def __init__(self, ledger: Ledger, board: QuoteBoard, valuation: Valuation) -> None:
        self.ledger = ledger
        self.board = board
        self.valuation = valuation

    def execute(self, request: MarketRequest, now_ms: int) -> Deal:
        """Fill a request completely and return its deal, or raise Refused with the server's return code."""
        user = self.ledger.user(request.login)
        symbol = self.board.symbol(request.symbol)
        if request.position:
            return self._close(user, symbol, request, now_ms)
        if request.flags & RequestFlags.CLOSE:
            raise Refused(Retcode.INVALID_REQUEST)
        return self._open(user, symbol, request, now_ms)

    def modify(self, request: ModifyRequest, now_ms: int) -> Position:
        position = self.ledger.positions.get(request.position)
        if position is None or position.login != request.login:
            raise Refused(Retcode.POSITION_CLOSED)
        if request.reason is Reason.CLIENT:
            _require_trading_right(self.ledger.user(request.login))
        if (position.price_sl_e8, position.price_tp_e8) == (request.price_sl_e8, request.price_tp_e8):
            raise Refused(Retcode.NO_CHANGES)
        _check_stops(position.side, self.board.quote(position.symbol), request.price_sl_e8, request.price_tp_e8)
        position.price_sl_e8, position.price_tp_e8 = request.price_sl_e8, request.price_tp_e8
        position.time_update_ms = now_ms
        self.ledger.put_position(position)
        return position

    def _open(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Deal:
        _require_trading_right(user)
        _check_trade_mode(symbol, request.side)
        _check_volume(symbol, request.volume_e8)
        group = self.valuation.groups[user.group]
        held = self.ledger.positions_of(user.login)
        if group.limit_positions and len(held) >= group.limit_positions:
            raise Refused(Retcode.POSITION_LIMIT)
        quote = self.board.quote(symbol.name)
        _check_stops(request.side, quote, request.price_sl_e8, request.price_tp_e8)
        position = Position(
            position=self.ledger.next_order,
            login=user.login,
            symbol=symbol.name,
            side=request.side,
            volume_e8=request.volume_e8,
            price_open_e8=quote.ask_e8 if request.side is Side.BUY else quote.bid_e8,
            time_create_ms=now_ms,
            time_update_ms=now_ms,
            rate_margin_e8=self.board.rate_e8(symbol.base, group.currency),
            price_sl_e8=request.price_sl_e8,
            price_tp_e8=request.price_tp_e8,
            comment=request.comment[:COMMENT_LENGTH],
            dealer=request.dealer,
            reason=request.reason,
            api_data=request.api_data,
        )
        commission = _commission_minor(group, request.volume_e8)
        if not request.flags & RequestFlags.SKIP_MARGIN_CHECK:
            self._require_margin(user, held, position, commission)
        deal = self._record(request, position, quote, now_ms, entry=Entry.IN, commission_minor=commission)
        self.ledger.put_position(position)
        self._book(user, deal)
        return deal

    def _close(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Deal:
        position = self.ledger.positions.get(request.position)
        if position is None or position.login != user.login:
            raise Refused(Retcode.POSITION_CLOSED)
        if request.reason is Reason.CLIENT:
            _require_trading_right(user)
        if symbol.trade_mode is TradeMode.DISABLED:
            raise Refused(Retcode.TRADE_DISABLED)
        if position.symbol != symbol.name or request.side is not position.side.opposite:
            raise Refused(Retcode.INVALID_REQUEST)
        if request.volume_e8 > position.volume_e8:
            raise Refused(Retcode.INVALID_CLOSE_VOLUME)
        if request.volume_e8 != position.volume_e8:
            _check_volume(symbol, request.volume_e8)
        return self.close(position, request, now_ms)

    def close(self, position: Position, request: MarketRequest, now_ms: int) -> Deal:
        """Close `request.volume_e8` of a position without asking whether the account may."""
        user = self.ledger.users[position.login]
        group = self.valuation.groups[user.group]
        profit = self.valuation.position_profit_minor(position, group, volume_e8=request.volume_e8)
        storage = divide_half_up(position.storage_minor * request.volume_e8, position.volume_e8)
        deal = self._record(
            request,
            position,
            self.board.quote(position.symbol),
            now_ms,
            entry=Entry.OUT,
            commission_minor=_commission_minor(group, request.volume_e8),
            profit_minor=profit,
            storage_minor=storage,
        )
        if request.volume_e8 == position.volume_e8:
            self.ledger.remove_position(position)
        else:
            position.volume_e8 -= request.volume_e8
            position.storage_minor -= storage
            position.time_update_ms = now_ms
            self.ledger.put_position(position)
        self._book(user, deal)
        return deal

    def close_for(self, position: Position, reason: Reason, comment: str, now_ms: int) -> Deal:
        """The server itself closes a whole position: stop loss, take profit, stop out."""
        request = MarketRequest(
            login=position.login,
            symbol=position.symbol,
            side=position.side.opposite,
            volume_e8=position.volume_e8,
            position=position.position,
            comment=comment,
            reason=reason,
        )
        return self.close(position, request, now_ms)

    def _require_margin(self, user: User, held: list[Position], position: Position, commission: int) -> None:
        state = self.valuation.account(user)
        needed = self.valuation.margin_minor(user, [*held, position])
        if state.equity_minor + commission < needed:
            raise Refused(Retcode.NO_MONEY)

    def _book(self, user: User, deal: Deal) -> None:
        user.balance_minor += deal.profit_minor + deal.storage_minor + deal.commission_minor
        self.ledger.add_deal(deal)
        self.ledger.put_user(user)

    def _record(
        self,
        request: MarketRequest,
        position: Position,
        quote: Quote,
        now_ms: int,
        *,
        entry: Entry,
        commission_minor: int,
        profit_minor: int = 0,
        storage_minor: int = 0,
    ) -> Deal:
        """Write the filled order and return its deal, which `_book` writes."""
        price_e8 = quote.ask_e8 if request.side is Side.BUY else quote.bid_e8
        order = Order(
            order=self.ledger.next_order,
            login=position.login,
            symbol=position.symbol,
            side=request.side,
            volume_e8=request.volume_e8,
            price_e8=price_e8,
            time_setup_ms=now_ms,
            time_done_ms=now_ms,
            position=position.position,
            price_sl_e8=position.price_sl_e8,
            price_tp_e8=position.price_tp_e8,
            comment=request.comment[:COMMENT_LENGTH],
            dealer=request.dealer,
            reason=request.reason,
            api_data=request.api_data,
        )
        self.ledger.add_order(order)
        group = self.valuation.group_of(position.login)
        return Deal(
            deal=self.ledger.next_deal,
            login=position.login,
            action=int(request.side),
            time_ms=now_ms,
            entry=entry,
            order=order.order,
            position=position.position,
            symbol=position.symbol,
            volume_e8=request.volume_e8,
            volume_closed_e8=request.volume_e8 if entry is Entry.OUT else 0,
            price_e8=price_e8,
            price_position_e8=position.price_open_e8,
            price_sl_e8=position.price_sl_e8,
            price_tp_e8=position.price_tp_e8,
            bid_e8=quote.bid_e8,
            ask_e8=quote.ask_e8,
            profit_minor=profit_minor,
            storage_minor=storage_minor,
            commission_minor=commission_minor,
            rate_profit_e8=self.valuation.rate_profit_e8(position.symbol, group),
            rate_margin_e8=position.rate_margin_e8,
            comment=order.comment,
            dealer=request.dealer,
            reason=request.reason,
            api_data=request.api_data,
        )


def _require_trading_right(user: User) -> None:
    if user.rights & Rights.TRADE_DISABLED or not user.rights & Rights.ENABLED:
        raise Refused(Retcode.TRADE_DISABLED)


def _check_trade_mode(symbol: SymbolSettings, side: Side) -> None:
    if symbol.trade_mode is TradeMode.DISABLED:
        raise Refused(Retcode.TRADE_DISABLED)
    if symbol.trade_mode is TradeMode.CLOSE_ONLY:
        raise Refused(Retcode.CLOSE_ONLY)
    if symbol.trade_mode is TradeMode.LONG_ONLY and side is Side.SELL:
        raise Refused(Retcode.LONG_ONLY)
    if symbol.trade_mode is TradeMode.SHORT_ONLY and side is Side.BUY:
        raise Refused(Retcode.SHORT_ONLY)


def _check_volume(symbol: SymbolSettings, volume_e8: int) -> None:
    if not symbol.volume_min_e8 <= volume_e8 <= symbol.volume_max_e8 or volume_e8 % symbol.volume_step_e8:
        raise Refused(Retcode.INVALID_VOLUME)


def _check_stops(side: Side, quote: Quote, sl_e8: int, tp_e8: int) -> None:
    """A stop must lie where the market is not yet: a buy's loss below the bid, its profit above."""
    below, above = (sl_e8, tp_e8) if side is Side.BUY else (tp_e8, sl_e8)
    price_e8 = quote.bid_e8 if side is Side.BUY else quote.ask_e8
    if min(sl_e8, tp_e8) < 0 or (below and below >= price_e8) or (above and above <= price_e8):
        raise Refused(Retcode.INVALID_STOPS)


def _commission_minor(group: GroupSettings, volume_e8: int) -> int:
    """Zero or negative: a cost of the account."""
    return -divide_half_up(group.commission_per_lot_minor * volume_e8, E8)
