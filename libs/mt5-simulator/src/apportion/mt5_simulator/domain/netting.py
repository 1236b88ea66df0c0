"""Netting accounts: one position per symbol, which further trades enlarge, reduce or turn around.

Read from the public documentation as follows. An added volume leaves the position's ticket as it is and makes its open
price the volume-weighted mean, to 8 digits. A trade against it that is larger is one deal of entry in/out: it closes
the whole position, profit and swap included, and opens the rest the other way; the position's ticket becomes that of
the reversing order, while the id that its deals and orders carry (`PositionID`) stays that of the order which opened it
first. Stops: an added volume replaces those that it names, a reversal brings its own, a reduction leaves them alone.
"""

from __future__ import annotations

from msgspec.structs import replace

from apportion.mt5_simulator.codes import Entry
from apportion.mt5_simulator.domain.checks import check_entry
from apportion.mt5_simulator.domain.figures import divide_half_up
from apportion.mt5_simulator.domain.fills import Fills
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, Position, User
from apportion.mt5_simulator.domain.settings import SymbolSettings


class Netting:
    def __init__(self, fills: Fills) -> None:
        self.fills = fills
        self.ledger = fills.ledger

    def position_in(self, login: int, symbol: str) -> Position | None:
        """The account's only position in a symbol."""
        return next((held for held in self.ledger.positions_of(login) if held.symbol == symbol), None)

    def enlarge(
        self, user: User, symbol: SymbolSettings, position: Position, request: MarketRequest, now_ms: int
    ) -> Deal:
        """More of the same side."""
        added = self._checked(user, symbol, request, now_ms)
        volume_e8 = position.volume_e8 + added.volume_e8
        after = replace(
            position,
            volume_e8=volume_e8,
            price_open_e8=_mean(position.price_open_e8, position.volume_e8, added.price_open_e8, added.volume_e8),
            rate_margin_e8=_mean(position.rate_margin_e8, position.volume_e8, added.rate_margin_e8, added.volume_e8),
            price_sl_e8=request.price_sl_e8 or position.price_sl_e8,
            price_tp_e8=request.price_tp_e8 or position.price_tp_e8,
            time_update_ms=now_ms,
        )
        self.fills.require_margin(user, request, [*self._others(position), after])
        deal = self.fills.fill(user, request, after, now_ms, entry=Entry.IN)
        self.ledger.put_position(after)
        return deal

    def reverse(
        self, user: User, symbol: SymbolSettings, position: Position, request: MarketRequest, now_ms: int
    ) -> Deal:
        """Close all of the position and open what is left of the request's volume the other way, in one deal."""
        after = replace(
            self._checked(user, symbol, request, now_ms),
            identifier=position.lasting_id,
            volume_e8=request.volume_e8 - position.volume_e8,
        )
        self.fills.require_margin(user, request, [*self._others(position), after])
        valuation = self.fills.valuation
        deal = self.fills.fill(
            user,
            request,
            replace(position, price_sl_e8=after.price_sl_e8, price_tp_e8=after.price_tp_e8),
            now_ms,
            entry=Entry.IN_OUT,
            closed_volume_e8=position.volume_e8,
            profit_minor=valuation.position_profit_minor(position, valuation.groups[user.group]),
            storage_minor=position.storage_minor,
        )
        self.ledger.remove_position(position)
        self.ledger.put_position(after)
        return deal

    def _checked(self, user: User, symbol: SymbolSettings, request: MarketRequest, now_ms: int) -> Position:
        """The position that the request would open by itself."""
        check_entry(user, symbol, request, self.fills.board.quote(symbol.name))
        return self.fills.new_position(user, symbol, request, now_ms)

    def _others(self, position: Position) -> list[Position]:
        return [held for held in self.ledger.positions_of(position.login) if held is not position]


def _mean(first_e8: int, first_volume_e8: int, second_e8: int, second_volume_e8: int) -> int:
    return divide_half_up(first_e8 * first_volume_e8 + second_e8 * second_volume_e8, first_volume_e8 + second_volume_e8)
