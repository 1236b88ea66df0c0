"""An MT5 server behind the port, over a pool of logged-in connections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apportion.mt5 import Pool, Refused, Retcode
from apportion.mt5 import accounts as mt5_accounts
from apportion.mt5 import balance as mt5_balance
from apportion.mt5 import deals as mt5_deals
from apportion.mt5 import groups as mt5_groups
from apportion.mt5 import positions as mt5_positions
from apportion.mt5 import server_time as mt5_time
from apportion.mt5 import symbols as mt5_symbols
from apportion.mt5 import ticks as mt5_ticks
from apportion.mt5 import users as mt5_users
from apportion.platform_groups.adapters.mt5_answers import translated
from apportion.platform_groups.adapters.mt5_facts import deal_of, group_of, position_of, states_of, symbol_of, user_of
from apportion.platform_groups.domain.server_facts import (
    AccountStateColumns,
    NewUser,
    ServerDeal,
    ServerGroup,
    ServerPosition,
    ServerRefused,
    ServerTick,
    ServerUser,
    SymbolListing,
)
from apportion.platform_groups.domain.tokens import leg_token
from apportion.platform_groups.domain.transfers import INSUFFICIENT_FUNDS, SentLeg
from apportion.platform_groups.operations.ports import Permit

SECOND_MS = 1000
NAMES_LENGTH = 4_000
"""The list of one ticks call is limited to 4 096 characters."""
LOGINS_PART = 400
"""Logins of one call: they travel in the query string."""


class Mt5Server:
    """Implements TradingServerPort. Not for concurrent `changed_ticks`: the marks of the last call are kept here."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._tick_marks: dict[tuple[str, ...], int] = {}
        self._digits: dict[str, int] = {}

    async def server_time_ms(self) -> int:
        with translated():
            return await mt5_time.now_seconds(self.pool) * SECOND_MS

    async def group(self, name: str) -> ServerGroup | None:
        with translated():
            try:
                found = await mt5_groups.get(self.pool, name)
            except Refused as refused:
                if refused.retcode == Retcode.NOT_FOUND:
                    return None
                raise
        self._digits[found.group] = found.currency_digits
        return group_of(found)

    async def add_user(self, user: NewUser, permit: Permit) -> ServerUser:
        new = mt5_users.NewUser(
            group=user.server_group,
            name=user.name,
            leverage=user.leverage,
            comment=user.comment,
            main_password=user.main_password,
            investor_password=user.investor_password,
        )
        with translated():
            return user_of(await mt5_users.add(self.pool, new, permit=permit))

    async def user(self, login: int) -> ServerUser | None:
        with translated():
            try:
                return user_of(await mt5_users.get(self.pool, login))
            except Refused as refused:
                if refused.retcode == Retcode.NOT_FOUND:
                    return None
                raise

    async def users_of_group(self, server_group: str) -> list[ServerUser]:
        with translated():
            return [user_of(user) for user in await mt5_users.list_of_groups(self.pool, [server_group])]

    async def logins_of_group(self, server_group: str) -> list[int]:
        with translated():
            return await mt5_users.logins_of_group(self.pool, server_group)

    async def set_rights(self, login: int, rights: int, permit: Permit) -> None:
        with translated():
            await mt5_users.set_rights(self.pool, login, rights, permit=permit)

    async def set_passwords(self, login: int, main_password: str, investor_password: str, permit: Permit) -> None:
        with translated():
            await mt5_users.change_password(self.pool, login, "main", main_password, permit=permit)
            await mt5_users.change_password(self.pool, login, "investor", investor_password, permit=permit)

    async def has_passwords(self, login: int, main_password: str, investor_password: str) -> bool:
        with translated():
            return await mt5_users.has_password(
                self.pool, login, "main", main_password
            ) and await mt5_users.has_password(self.pool, login, "investor", investor_password)

    async def positions(self, login: int) -> list[ServerPosition]:
        with translated():
            return [position_of(position) for position in await mt5_positions.list_of_login(self.pool, login)]

    async def positions_of_logins(self, logins: Sequence[int]) -> list[ServerPosition]:
        parts = [logins[start : start + LOGINS_PART] for start in range(0, len(logins), LOGINS_PART)]
        with translated():
            found = [await mt5_positions.list_of_logins(self.pool, part) for part in parts]
        return [position_of(position) for part in found for position in part]

    async def deals_of_logins(self, logins: Sequence[int], from_ms: int, to_ms: int) -> list[ServerDeal]:
        with translated():
            found = await mt5_deals.list_of_logins(self.pool, logins, from_ms // SECOND_MS, to_ms // SECOND_MS)
            return [deal_of(deal) for deal in found]

    async def deals_of_groups(self, server_groups: Sequence[str], from_ms: int, to_ms: int) -> list[ServerDeal]:
        with translated():
            found = await mt5_deals.list_of_groups(self.pool, server_groups, from_ms // SECOND_MS, to_ms // SECOND_MS)
            return [deal_of(deal) for deal in found]

    async def symbols(self, names: Sequence[str]) -> SymbolListing:
        with translated():
            found = await (mt5_symbols.list_named(self.pool, names) if names else mt5_symbols.list_all(self.pool))
        return SymbolListing([symbol_of(symbol) for symbol in found.symbols], found.unreadable)

    async def book_leg(self, leg: SentLeg, permit: Permit) -> int:
        try:
            with translated():
                return await mt5_balance.change(
                    self.pool,
                    leg.login,
                    leg.amount_minor,
                    leg.currency_digits,
                    leg_token(leg.leg_id, leg.token_salt),
                    permit=permit,
                )
        except ServerRefused as refused:
            if refused.reason == "NO_MONEY":
                raise ServerRefused(INSUFFICIENT_FUNDS) from refused
            raise

    async def account_states(self, server_groups: Sequence[str]) -> AccountStateColumns:
        with translated():
            return states_of(await mt5_accounts.states_of_groups(self.pool, server_groups))

    async def booked_states(self, server_groups: Sequence[str]) -> AccountStateColumns:
        rows: list[int] = []
        with translated():
            for user in await mt5_users.list_of_groups(self.pool, server_groups):
                digits = await self._digits_of(user.group)
                balance, credit = user.balance_minor(digits), user.credit_minor(digits)
                rows += (user.login, balance, credit, balance + credit, 0, balance + credit, 0, user.leverage)
        table = np.array(rows, dtype=np.int64).reshape(-1, 8)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return AccountStateColumns(*(np.ascontiguousarray(table[:, index]) for index in range(8)))

    async def _digits_of(self, group: str) -> int:
        if group not in self._digits:
            self._digits[group] = (await mt5_groups.get(self.pool, group)).currency_digits
        return self._digits[group]

    async def changed_ticks(self) -> list[ServerTick]:
        with translated():
            if not self._tick_marks:
                names = [symbol.symbol for symbol in (await mt5_symbols.list_all(self.pool)).symbols]
                self._tick_marks = dict.fromkeys(batched_names(names), 0)
            changed: list[ServerTick] = []
            for part, mark in self._tick_marks.items():
                found = await mt5_ticks.last(self.pool, part, mark)
                self._tick_marks[part] = found.trans_id
                changed += [
                    ServerTick(tick.symbol, tick.bid_e8, tick.ask_e8, tick.server_time_ms) for tick in found.ticks
                ]
            return changed


def batched_names(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Names in parts that fit into the list of one ticks call."""
    parts: list[tuple[str, ...]] = []
    part: list[str] = []
    length = 0
    for name in names:
        if part and length + len(name) + 1 > NAMES_LENGTH:
            parts.append(tuple(part))
            part, length = [], 0
        part.append(name)
        length += len(name) + 1
    return [*parts, tuple(part)] if part else parts
