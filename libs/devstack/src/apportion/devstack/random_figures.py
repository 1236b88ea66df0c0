"""Were the figures that decisions were computed from those of the accounts, by the server's own deals and prices?

Account states are read some times a second, and deals go on meanwhile: each figure must have been true of the account
at some moment of the decision's round or of the one before. Holds for hedging accounts in USD with leverage 100 and
symbols quoted in USD, contract size 100 000, without a spread: one point of a hundredth of a lot is one cent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2
from apportion.devstack.ledger import Json, minor
from apportion.devstack.random_books import Book, signed_e8
from apportion.devstack.random_scene import Round

UNKNOWN = -(2**63)
POINTS = 100_000
STEP_E8 = 1_000_000
LEVERAGE = 100
CONTRACT_SIZE_E8 = 100_000 * 10**8
CURRENCY_DIGITS = 2
POINT_E8 = 1_000
BY_BALANCE = {masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_BALANCE, masters_pb2.ALLOCATION_METHOD_COPY_BY_BALANCE}
BY_FREE_MARGIN = {masters_pb2.ALLOCATION_METHOD_COPY_BY_FREE_MARGIN}

Prices = dict[str, int]


@dataclass(frozen=True)
class State:
    """An account between two of its deals."""

    balance_minor: int
    positions: dict[str, tuple[str, int, int]]
    """By id: symbol, signed steps, points at which it was opened."""

    def equity_minor(self, prices: Prices) -> int:
        gains = (steps * (prices[symbol] - opened) for symbol, steps, opened in self.positions.values())
        return self.balance_minor + sum(gains)

    @property
    def margin_minor(self) -> int:
        """Of each symbol the heavier side."""
        sides: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for symbol, steps, opened in self.positions.values():
            sides[symbol][steps > 0] += (abs(steps) * opened + LEVERAGE // 2) // LEVERAGE
        return sum(max(both) for both in sides.values())

    def after(self, deal: Json) -> State:
        booked = sum(minor(deal[name]) for name in ("Profit", "Storage", "Commission"))
        positions = dict(self.positions)
        if deal["Action"] in {"0", "1"}:
            steps = signed_e8(deal) // STEP_E8
            opening = (deal["Symbol"], 0, int(Decimal(deal["Price"]) * POINTS))
            symbol, held, opened = positions.get(deal["PositionID"], opening)
            positions[deal["PositionID"]] = (symbol, held + steps, opened)
            if not held + steps:
                del positions[deal["PositionID"]]
        return State(self.balance_minor + booked, positions)


class Figures:
    """What could be known of each account in each round."""

    def __init__(self, server: dict[int, Book], rounds: list[Round], netting: set[int]) -> None:
        """`netting`: accounts that are not looked at."""
        self._netting = netting
        self._server = server
        self._rounds = rounds
        self._states: dict[int, list[tuple[int, State]]] = {}
        self._known: dict[tuple[int, int], tuple[set[int], set[int], set[int], set[int]]] = {}

    def problems(
        self,
        method: masters_pb2.AllocationMethod.ValueType,
        explained: allocations_pb2.ExplainAllocationResponse,
        master_login: int,
        symbol: str,
        time_ms: int,
    ) -> Iterator[str]:
        """Of a decision on a trade of that server time."""
        which = 0 if method in BY_BALANCE else 2 if method in BY_FREE_MARGIN else 1
        known_master = self._known_of(master_login, time_ms)[which] | {0, UNKNOWN}
        if explained.master_basis not in known_master:
            yield f"the master never had {explained.master_basis}"
        for row in explained.children:
            if row.account_login in self._netting:
                continue
            known = self._known_of(row.account_login, time_ms)
            if row.basis not in known[which] | {0, UNKNOWN}:
                yield f"{row.account_login} never had {row.basis}"
            if row.margin_minor not in known[3] | {0, UNKNOWN}:
                yield f"{row.account_login} never had a margin of {row.margin_minor}"
            if row.leverage not in {0, LEVERAGE, UNKNOWN}:
                yield f"{row.account_login} never had a leverage of {row.leverage}"
        if explained.conversion_e8:
            prices = {table[symbol] * POINT_E8 for table in self._prices(self._number(time_ms))}
            size_e8 = explained.contract_size_e8
            if size_e8 != CONTRACT_SIZE_E8 or explained.conversion_e8 not in prices:
                yield f"a lot of {symbol} never was {size_e8} at {explained.conversion_e8}"
        if explained.currency_digits != CURRENCY_DIGITS:
            yield f"nobody's money has {explained.currency_digits} digits"

    def _number(self, time_ms: int) -> int:
        return next(number for number, each in enumerate(self._rounds) if each.time_ms == time_ms)

    def _prices(self, number: int) -> list[Prices]:
        return [*(each.prices[-1] for each in self._rounds[max(number - 1, 0) : number]), *self._rounds[number].prices]

    def _known_of(self, login: int, time_ms: int) -> tuple[set[int], set[int], set[int], set[int]]:
        """Balances, equities, free margins, margins."""
        key = (login, time_ms)
        if key not in self._known:
            number = self._number(time_ms)
            since_ms = self._rounds[max(number - 1, 0)].time_ms
            history = self._history(login)
            before = [state for at_ms, state in history if at_ms < since_ms][-1:]
            states = before + [state for at_ms, state in history if since_ms <= at_ms <= time_ms]
            equities = {
                (state.equity_minor(table), state.margin_minor) for state in states for table in self._prices(number)
            }
            self._known[key] = (
                {state.balance_minor for state in states},
                {equity for equity, _ in equities},
                {equity - margin for equity, margin in equities},
                {margin for _, margin in equities},
            )
        return self._known[key]

    def _history(self, login: int) -> list[tuple[int, State]]:
        if login not in self._states:
            book, state, states = self._server[login], State(0, {}), []
            for deal in sorted([*book.trades, *book.balances], key=lambda deal: int(deal["Deal"])):
                state = state.after(deal)
                states.append((int(deal["TimeMsc"]), state))
            self._states[login] = states
        return self._states[login]
