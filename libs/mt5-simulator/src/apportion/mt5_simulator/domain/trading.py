"""Market orders: open, close, modify. Fills are complete, at the server's own bid or ask."""

from __future__ import annotations

from msgspec.structs import replace

from apportion.mt5_simulator.codes import Entry, MarginMode, Reason, Refused, RequestFlags, Retcode, TradeMode
from apportion.mt5_simulator.domain.checks import check_entry, check_stops, check_volume, require_trading_right
from apportion.mt5_simulator.domain.figures import divide_half_up
from apportion.mt5_simulator.domain.fills import Fills
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.netting import Netting
from apportion.mt5_simulator.domain.quotes import QuoteBoard
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, ModifyRequest, Position, User
from apportion.mt5_simulator.domain.settings import SymbolSettings
from apportion.mt5_simulator.domain.valuation import Valuation


class Trading:
    def __init__(self, ledger: Ledger, board: QuoteBoard, valuation: Valuation) -> None:
        self.ledger = ledger
        self.board = board
        self.valuation = valuation
        self.fills = Fills(ledger, board, valuation)
        self.netting = Netting(self.fills)

    def execute(self, request: MarketRequest, now_ms: int) -> Deal:
        """Fill a request completely and return its deal, or raise Refused with the server's return code."""
        user = self.ledger.user(request.login)
        symbol = self.board.symbol(request.symbol)
        if self.valuation.groups[user.group].margin_mode is MarginMode.NETTING:
            return self._execute_netting(user, symbol, request, now_ms)
        if request.position:
            return self._close(user, symbol, request, now_ms)
        if request.flags & RequestFlags.CLOSE:
            raise Refused(Retcode.INVALID_REQUEST)
        return self._open(user, symbol, request, now_ms)

    def _execute_netting(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Deal:
        """A request that names a position, or is flagged as a close, never opens anything."""
        position = self.netting.position_in(user.login, symbol.name)
        if request.position or request.flags & RequestFlags.CLOSE:
            ticket = request.position or (position.position if position else 0)
            return self._close(user, symbol, replace(request, position=ticket), now_ms)
        if position is None:
            return self._open(user, symbol, request, now_ms)
        if request.side is position.side:
            return self.netting.enlarge(user, symbol, position, request, now_ms)
        if request.volume_e8 > position.volume_e8:
            return self.netting.reverse(user, symbol, position, request, now_ms)
        return self._close(user, symbol, replace(request, position=position.position), now_ms)

    def modify(self, request: ModifyRequest, now_ms: int) -> Position:
        position = self.ledger.positions.get(request.position)
        if position is None or position.login != request.login:
            raise Refused(Retcode.POSITION_CLOSED)
        if request.reason is Reason.CLIENT:
            require_trading_right(self.ledger.user(request.login))
        if (position.price_sl_e8, position.price_tp_e8) == (request.price_sl_e8, request.price_tp_e8):
            raise Refused(Retcode.NO_CHANGES)
        symbol = self.board.symbol(position.symbol)
        quote = self.board.quote(position.symbol)
        check_stops(symbol, position.side, quote, request.price_sl_e8, request.price_tp_e8)
        position.price_sl_e8, position.price_tp_e8 = request.price_sl_e8, request.price_tp_e8
        position.time_update_ms = now_ms
        self.ledger.put_position(position)
        return position

    def _open(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Deal:
        check_entry(user, symbol, request, self.board.quote(symbol.name))
        held = self.ledger.positions_of(user.login)
        limit = self.valuation.groups[user.group].limit_positions
        if limit and len(held) >= limit:
            raise Refused(Retcode.POSITION_LIMIT)
        position = self.fills.new_position(user, symbol, request, now_ms)
        self.fills.require_margin(user, request, [*held, position])
        deal = self.fills.fill(user, request, position, now_ms, entry=Entry.IN)
        self.ledger.put_position(position)
        return deal

    def _close(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Deal:
        position = self.ledger.positions.get(request.position)
        if position is None or position.login != user.login:
            raise Refused(Retcode.POSITION_CLOSED)
        if request.reason is Reason.CLIENT:
            require_trading_right(user)
        if symbol.trade_mode is TradeMode.DISABLED:
            raise Refused(Retcode.TRADE_DISABLED)
        if position.symbol != symbol.name or request.side is not position.side.opposite:
            raise Refused(Retcode.INVALID_REQUEST)
        if request.volume_e8 > position.volume_e8:
            raise Refused(Retcode.INVALID_CLOSE_VOLUME)
        if request.volume_e8 != position.volume_e8:
            check_volume(symbol, request.volume_e8)
        return self.close(position, request, now_ms)

    def close(self, position: Position, request: MarketRequest, now_ms: int) -> Deal:
        """Close `request.volume_e8` of a position without asking whether the account may."""
        user = self.ledger.users[position.login]
        group = self.valuation.groups[user.group]
        storage = divide_half_up(position.storage_minor * request.volume_e8, position.volume_e8)
        deal = self.fills.fill(
            user,
            request,
            position,
            now_ms,
            entry=Entry.OUT,
            closed_volume_e8=request.volume_e8,
            profit_minor=self.valuation.position_profit_minor(position, group, volume_e8=request.volume_e8),
            storage_minor=storage,
        )
        if request.volume_e8 == position.volume_e8:
            self.ledger.remove_position(position)
        else:
            position.volume_e8 -= request.volume_e8
            position.storage_minor -= storage
            position.time_update_ms = now_ms
            self.ledger.put_position(position)
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
