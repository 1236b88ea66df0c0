"""What the server does by itself when prices move: stop loss, take profit, stop out.

Stop outs are found without valuing every account at every tick. After an account was valued, the relative price move
that could bring it to its stop-out level is known: its cushion divided by its exposure. `travel` is the sum of the
largest moves of all looks at the prices, an upper bound of what any price can have moved; an account is valued again
only when the travel has used up its room.
"""

from __future__ import annotations

import heapq

from apportion.mt5_simulator.codes import Reason, Side
from apportion.mt5_simulator.domain.figures import format_price, format_scaled
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.quotes import QuoteBoard
from apportion.mt5_simulator.domain.records import Deal, Position, User
from apportion.mt5_simulator.domain.trading import Trading
from apportion.mt5_simulator.domain.valuation import AccountState, Valuation

_CAUTION = 0.4
"""Part of the computed room that is trusted: conversion rates move too."""


class Watch:
    def __init__(self, ledger: Ledger, board: QuoteBoard, valuation: Valuation, trading: Trading) -> None:
        self.ledger = ledger
        self.board = board
        self.valuation = valuation
        self.trading = trading
        self.travel = 0.0
        self._move = 0.0
        self._due: dict[int, float] = {}
        self._queue: list[tuple[float, int]] = []

    def price_moved(self, symbol: str, move: float, now_ms: int) -> list[Deal]:
        """Fire the stops of a symbol whose quote has just changed."""
        self._move = max(self._move, move)
        quote = self.board.quote(symbol)
        reached = self.ledger.guards.reached(symbol, quote.bid_e8, quote.ask_e8)
        return [self._fire(self.ledger.positions[ticket], now_ms) for ticket in reached]

    def _fire(self, position: Position, now_ms: int) -> Deal:
        """Close a position one of whose stops is reached; the loss comes first."""
        digits = self.board.symbols[position.symbol].digits
        sign = 1 if position.side is Side.BUY else -1
        beyond_loss_e8 = sign * (self.valuation.close_price_e8(position) - position.price_sl_e8)
        if position.price_sl_e8 and beyond_loss_e8 <= 0:
            comment = f"[sl {format_price(position.price_sl_e8, digits)}]"
            return self.trading.close_for(position, Reason.STOP_LOSS, comment, now_ms)
        comment = f"[tp {format_price(position.price_tp_e8, digits)}]"
        return self.trading.close_for(position, Reason.TAKE_PROFIT, comment, now_ms)

    def account_changed(self, login: int) -> None:
        """Have the account valued at the next `stop_out_due`."""
        self._schedule(login, self.travel)

    def watch_all(self) -> None:
        """Have every account with positions valued: after a load, or when conversion rates may all have moved."""
        for login in {position.login for position in self.ledger.positions.values()}:
            self.account_changed(login)

    def _schedule(self, login: int, due: float) -> None:
        self._due[login] = due
        heapq.heappush(self._queue, (due, login))

    def stop_out_due(self, now_ms: int) -> list[Deal]:
        """Value the accounts whose room is used up; close the worst positions of those below their stop-out level."""
        self.travel, self._move = self.travel + self._move, 0.0
        deals: list[Deal] = []
        while self._queue and self._queue[0][0] <= self.travel:
            due, login = heapq.heappop(self._queue)
            if self._due.get(login) != due:
                continue
            del self._due[login]
            user = self.ledger.users.get(login)
            if user is not None:
                deals += self._stop_out(user, now_ms)
        return deals

    def _stop_out(self, user: User, now_ms: int) -> list[Deal]:
        deals: list[Deal] = []
        group = self.valuation.groups[user.group]
        while positions := self.ledger.positions_of(user.login):
            state = self.valuation.account(user)
            if 100 * state.equity_minor >= group.stop_out_percent * state.margin_minor:
                self._schedule(user.login, self.travel + _CAUTION * self._room(user, state, positions))
                break
            worst = min(positions, key=lambda position: self.valuation.position_profit_minor(position, group))
            equity = format_scaled(state.equity_minor, group.currency_digits)
            margin = format_scaled(state.margin_minor, group.currency_digits)
            comment = f"so: {state.margin_level_percent:.2f}%/{equity}/{margin}"
            deals.append(self.trading.close_for(worst, Reason.STOP_OUT, comment, now_ms))
        return deals

    def _room(self, user: User, state: AccountState, positions: list[Position]) -> float:
        """The relative price move, against every position at once, that takes the account to its stop-out level."""
        group = self.valuation.groups[user.group]
        exposure = sum(self.valuation.position_margin_minor(position, 1, group) for position in positions)
        cushion = state.equity_minor - group.stop_out_percent * state.margin_minor / 100
        return cushion / exposure if exposure else 0.0
