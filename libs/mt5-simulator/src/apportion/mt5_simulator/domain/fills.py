"""What every fill does: its price, its order, its deal, its money."""

from __future__ import annotations

from apportion.mt5_simulator.codes import COMMENT_LENGTH, Entry, Refused, RequestFlags, Retcode, Side
from apportion.mt5_simulator.domain.figures import E8, divide_half_up
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.quotes import Quote, QuoteBoard
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, Order, Position, User
from apportion.mt5_simulator.domain.settings import GroupSettings, SymbolSettings
from apportion.mt5_simulator.domain.valuation import Valuation


class Fills:
    """Writes orders and deals; positions are the business of whoever asked for the fill."""

    def __init__(self, ledger: Ledger, board: QuoteBoard, valuation: Valuation) -> None:
        self.ledger = ledger
        self.board = board
        self.valuation = valuation

    def new_position(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Position:
        """The position that a request opens at the market's price; its ticket is that of the order to come."""
        return Position(
            position=self.ledger.next_order,
            login=user.login,
            symbol=symbol.name,
            side=request.side,
            volume_e8=request.volume_e8,
            price_open_e8=fill_price_e8(self.board.quote(symbol.name), request.side),
            time_create_ms=now_ms,
            time_update_ms=now_ms,
            rate_margin_e8=self.board.rate_e8(symbol.base, self.valuation.groups[user.group].currency),
            price_sl_e8=request.price_sl_e8,
            price_tp_e8=request.price_tp_e8,
            comment=request.comment[:COMMENT_LENGTH],
            dealer=request.dealer,
            reason=request.reason,
            api_data=request.api_data,
        )

    def require_margin(self, user: User, request: MarketRequest, after: list[Position]) -> None:
        """Refused NO_MONEY unless the equity carries the positions that the account holds after the fill."""
        if request.flags & RequestFlags.SKIP_MARGIN_CHECK:
            return
        commission = commission_minor(self.valuation.groups[user.group], request.volume_e8)
        equity = self.valuation.account(user).equity_minor
        if equity + commission < self.valuation.margin_minor(user, after):
            raise Refused(Retcode.NO_MONEY)

    def fill(
        self,
        user: User,
        request: MarketRequest,
        position: Position,
        now_ms: int,
        *,
        entry: Entry,
        closed_volume_e8: int = 0,
        profit_minor: int = 0,
        storage_minor: int = 0,
    ) -> Deal:
        """Write the filled order and its deal, and book the deal's money. `position` gives id, open price
        and stops."""
        quote = self.board.quote(position.symbol)
        group = self.valuation.groups[user.group]
        order = self._order(request, position, fill_price_e8(quote, request.side), now_ms)
        deal = Deal(
            deal=self.ledger.next_deal,
            login=user.login,
            action=int(request.side),
            time_ms=now_ms,
            entry=entry,
            order=order.order,
            position=position.lasting_id,
            symbol=position.symbol,
            volume_e8=request.volume_e8,
            volume_closed_e8=closed_volume_e8,
            price_e8=order.price_e8,
            price_position_e8=position.price_open_e8,
            price_sl_e8=order.price_sl_e8,
            price_tp_e8=order.price_tp_e8,
            bid_e8=quote.bid_e8,
            ask_e8=quote.ask_e8,
            profit_minor=profit_minor,
            storage_minor=storage_minor,
            commission_minor=commission_minor(group, request.volume_e8),
            rate_profit_e8=self.valuation.rate_profit_e8(position.symbol, group),
            rate_margin_e8=position.rate_margin_e8,
            comment=order.comment,
            dealer=request.dealer,
            reason=request.reason,
            api_data=request.api_data,
        )
        user.balance_minor += deal.profit_minor + deal.storage_minor + deal.commission_minor
        self.ledger.add_deal(deal)
        self.ledger.put_user(user)
        return deal

    def _order(self, request: MarketRequest, position: Position, price_e8: int, now_ms: int) -> Order:
        order = Order(
            order=self.ledger.next_order,
            login=position.login,
            symbol=position.symbol,
            side=request.side,
            volume_e8=request.volume_e8,
            price_e8=price_e8,
            time_setup_ms=now_ms,
            time_done_ms=now_ms,
            position=position.lasting_id,
            price_sl_e8=position.price_sl_e8,
            price_tp_e8=position.price_tp_e8,
            comment=request.comment[:COMMENT_LENGTH],
            dealer=request.dealer,
            reason=request.reason,
            api_data=request.api_data,
        )
        self.ledger.add_order(order)
        return order


def fill_price_e8(quote: Quote, side: Side) -> int:
    """Buys are filled at the ask, sells at the bid."""
    return quote.ask_e8 if side is Side.BUY else quote.bid_e8


def commission_minor(group: GroupSettings, volume_e8: int) -> int:
    """Zero or negative: a cost of the account."""
    return -divide_half_up(group.commission_per_lot_minor * volume_e8, E8)
