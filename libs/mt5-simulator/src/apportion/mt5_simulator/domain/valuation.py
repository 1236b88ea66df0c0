"""What positions and accounts are worth now."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from apportion.mt5_simulator.codes import Refused, Retcode, Side, StopOutActivation
from apportion.mt5_simulator.domain.figures import margin_minor, profit_minor
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.quotes import QuoteBoard
from apportion.mt5_simulator.domain.records import Position, User
from apportion.mt5_simulator.domain.settings import GroupSettings


class AccountState(msgspec.Struct, frozen=True):
    """Equity = balance + credit + floating; floating = profit + storage. All in minor units."""

    login: int
    balance_minor: int
    credit_minor: int
    profit_minor: int
    storage_minor: int
    margin_minor: int
    leverage: int
    currency_digits: int
    activation: StopOutActivation

    @property
    def floating_minor(self) -> int:
        return self.profit_minor + self.storage_minor

    @property
    def equity_minor(self) -> int:
        return self.balance_minor + self.credit_minor + self.floating_minor

    @property
    def margin_free_minor(self) -> int:
        return self.equity_minor - self.margin_minor

    @property
    def margin_level_percent(self) -> float:
        """Equity over margin; 0 without margin, as the API prints it."""
        return 100.0 * self.equity_minor / self.margin_minor if self.margin_minor else 0.0


class Valuation:
    def __init__(self, ledger: Ledger, board: QuoteBoard, groups: dict[str, GroupSettings]) -> None:
        self.ledger = ledger
        self.board = board
        self.groups = groups

    def group(self, name: str) -> GroupSettings:
        """Refused NOT_FOUND for an unknown group."""
        try:
            return self.groups[name]
        except KeyError:
            raise Refused(Retcode.NOT_FOUND) from None

    def group_of(self, login: int) -> GroupSettings:
        return self.groups[self.ledger.users[login].group]

    def close_price_e8(self, position: Position) -> int:
        quote = self.board.quote(position.symbol)
        return quote.bid_e8 if position.side is Side.BUY else quote.ask_e8

    def rate_profit_e8(self, symbol: str, group: GroupSettings) -> int:
        return self.board.rate_e8(self.board.symbols[symbol].profit, group.currency)

    def position_profit_minor(
        self, position: Position, group: GroupSettings, *, price_e8: int | None = None, volume_e8: int | None = None
    ) -> int:
        """Profit of a position, or of `volume_e8` of it, at `price_e8` or where it could be closed now."""
        close_e8 = self.close_price_e8(position) if price_e8 is None else price_e8
        difference_e8 = close_e8 - position.price_open_e8
        return profit_minor(
            self.board.symbols[position.symbol].contract_size_e8,
            position.volume_e8 if volume_e8 is None else volume_e8,
            difference_e8 if position.side is Side.BUY else -difference_e8,
            self.rate_profit_e8(position.symbol, group),
            group.currency_digits,
        )

    def position_margin_minor(self, position: Position, leverage: int, group: GroupSettings) -> int:
        size_e8 = self.board.symbols[position.symbol].contract_size_e8
        digits = group.currency_digits
        return margin_minor(size_e8, position.volume_e8, position.rate_margin_e8, leverage, digits)

    def margin_minor(self, user: User, positions: list[Position]) -> int:
        """Per symbol the larger of the long and the short side: a hedged volume is margined once."""
        group = self.groups[user.group]
        legs: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for position in positions:
            legs[position.symbol][position.side] += self.position_margin_minor(position, user.leverage, group)
        return sum(max(sides) for sides in legs.values())

    def account(self, user: User) -> AccountState:
        group = self.groups[user.group]
        margin = profit = storage = 0
        if positions := self.ledger.positions_of(user.login):
            margin = self.margin_minor(user, positions)
            profit = sum(self.position_profit_minor(position, group) for position in positions)
            storage = sum(position.storage_minor for position in positions)
        equity = user.balance_minor + user.credit_minor + profit + storage
        return AccountState(
            login=user.login,
            balance_minor=user.balance_minor,
            credit_minor=user.credit_minor,
            profit_minor=profit,
            storage_minor=storage,
            margin_minor=margin,
            leverage=user.leverage,
            currency_digits=group.currency_digits,
            activation=_activation(equity, margin, group),
        )


def _activation(equity: int, margin: int, group: GroupSettings) -> StopOutActivation:
    if not margin or 100 * equity >= group.margin_call_percent * margin:
        return StopOutActivation.NONE
    if 100 * equity >= group.stop_out_percent * margin:
        return StopOutActivation.MARGIN_CALL
    return StopOutActivation.STOP_OUT
