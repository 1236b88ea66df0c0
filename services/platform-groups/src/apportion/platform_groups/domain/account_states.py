"""Live states of all accounts of a trading server, by our own account ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from apportion.platform_groups.domain.server_facts import AccountStateColumns, Int64s

COLUMNS = (
    "account_ids",
    "balances_minor",
    "credits_minor",
    "equities_minor",
    "margins_minor",
    "free_margins_minor",
    "position_flags",
    "leverages",
)


@dataclass(frozen=True, slots=True)
class AccountStates:
    """`rows`: one of an account, in the order of COLUMNS, sorted by account id; money in minor units."""

    trading_server_id: int
    observed_time: datetime
    server_time_ms: int
    rows: Int64s

    def page(self, after_account_id: int, limit: int) -> AccountStates:
        """The next `limit` accounts after one of them."""
        start = int(np.searchsorted(self.rows[:, 0], after_account_id, side="right"))
        return AccountStates(
            self.trading_server_id, self.observed_time, self.server_time_ms, self.rows[start : start + limit]
        )

    def accounts_with_positions(self) -> set[int]:
        return set(self.rows[self.rows[:, COLUMNS.index("position_flags")] != 0, 0].tolist())


def missing_logins(live: AccountStateColumns, account_ids: Mapping[int, int]) -> Int64s:
    """Logins of ours without a state."""
    return np.setdiff1d(np.fromiter(account_ids, dtype=np.int64), live.logins)


def rows_of(live: AccountStateColumns, booked: AccountStateColumns | None, account_ids: Mapping[int, int]) -> Int64s:
    """Rows for those of ours (account ids by login) that have a live state, or else a booked one to stand in."""
    table = _table(live)
    if booked is not None:
        stand_ins = _table(booked)
        table = np.concatenate([table, stand_ins[~np.isin(stand_ins[:, 0], live.logins)]])
    table = table[np.isin(table[:, 0], np.fromiter(account_ids, dtype=np.int64))]
    table[:, 0] = [account_ids[login] for login in table[:, 0].tolist()]
    return table[np.argsort(table[:, 0], kind="stable")]


def _table(columns: AccountStateColumns) -> Int64s:
    """Rows of one state each, in the order of COLUMNS with the login for the account id."""
    return np.stack(
        [
            columns.logins,
            columns.balances_minor,
            columns.credits_minor,
            columns.equities_minor,
            columns.margins_minor,
            columns.free_margins_minor,
            columns.position_flags,
            columns.leverages,
        ],
        axis=1,
    )
