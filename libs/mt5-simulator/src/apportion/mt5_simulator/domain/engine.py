"""The trading engine: the parts put together, and what each command sets in motion. Time is passed in."""

from __future__ import annotations

from apportion.mt5_simulator.codes import TradeMode
from apportion.mt5_simulator.domain.accounts import Accounts
from apportion.mt5_simulator.domain.clock import DAY_MS
from apportion.mt5_simulator.domain.feed import Feed
from apportion.mt5_simulator.domain.funds import Funds
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.quotes import QuoteBoard
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, ModifyRequest, Position
from apportion.mt5_simulator.domain.rollover import roll_over
from apportion.mt5_simulator.domain.settings import ServerSettings
from apportion.mt5_simulator.domain.trading import Trading
from apportion.mt5_simulator.domain.valuation import Valuation
from apportion.mt5_simulator.domain.watch import Watch


class Engine:
    def __init__(self, settings: ServerSettings, feed: Feed) -> None:
        self.settings = settings
        self.feed = feed
        self.ledger = Ledger(settings.first_login)
        self.board = QuoteBoard(settings.symbols)
        self.valuation = Valuation(self.ledger, self.board, {group.name: group for group in settings.groups})
        self.accounts = Accounts(self.ledger, self.valuation)
        self.funds = Funds(self.ledger, self.valuation)
        self.trading = Trading(self.ledger, self.board, self.valuation)
        self.watch = Watch(self.ledger, self.board, self.valuation, self.trading)
        self.day: int | None = None
        """Number of the server day of the last step."""

    def step(self, now_ms: int) -> list[Deal]:
        """Bring prices to `now_ms`; returns what the server closed by itself."""
        self._begin_day(now_ms // DAY_MS)
        deals: list[Deal] = []
        if not self.board.frozen:
            for symbol in self.board.symbols.values():
                if symbol.name not in self.board.pinned:
                    quote = self.feed.quote(symbol, now_ms)
                    if quote is not None:
                        deals += self._price(symbol.name, *quote, now_ms)
        return deals + self.watch.stop_out_due(now_ms)

    def _begin_day(self, day: int) -> None:
        if self.day is not None:
            for ending_day in range(self.day, day):
                for login in roll_over(self.ledger, self.board, self.valuation, ending_day):
                    self.watch.account_changed(login)
        # The autumn hour that repeats never crosses midnight backwards, but a clock set by hand may.
        self.day = day if self.day is None else max(day, self.day)

    def _price(self, symbol: str, bid_e8: int, ask_e8: int, now_ms: int) -> list[Deal]:
        move = self.board.set(symbol, bid_e8, ask_e8, now_ms)
        return self.watch.price_moved(symbol, move, now_ms) if move else []

    def set_price(self, symbol: str, bid_e8: int, ask_e8: int, now_ms: int) -> list[Deal]:
        """Quote a symbol by hand and keep the feed off it."""
        self.board.symbol(symbol)
        if not 0 < bid_e8 <= ask_e8:
            raise ValueError("0 < bid ≤ ask")
        self.board.pinned.add(symbol)
        return self._price(symbol, bid_e8, ask_e8, now_ms) + self.watch.stop_out_due(now_ms)

    def freeze(self, frozen: bool) -> None:
        self.board.frozen = frozen
        if not frozen:
            self.board.pinned.clear()

    def set_trade_mode(self, symbol: str, mode: TradeMode) -> None:
        self.board.symbol(symbol).trade_mode = mode

    def execute(self, request: MarketRequest, now_ms: int) -> Deal:
        deal = self.trading.execute(request, now_ms)
        self.account_changed(request.login, now_ms)
        return deal

    def modify(self, request: ModifyRequest, now_ms: int) -> Position:
        return self.trading.modify(request, now_ms)

    def change_balance(
        self,
        login: int,
        action: int,
        amount_minor: int,
        comment: str,
        now_ms: int,
        *,
        check_margin: bool = True,
        dealer: int = 0,
    ) -> Deal:
        deal = self.funds.change_balance(
            login, action, amount_minor, comment, now_ms, check_margin=check_margin, dealer=dealer
        )
        self.account_changed(login, now_ms)
        return deal

    def account_changed(self, login: int, now_ms: int) -> None:
        self.watch.account_changed(login)
        self.watch.stop_out_due(now_ms)
