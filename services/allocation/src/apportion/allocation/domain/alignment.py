"""Finding the states of a master's followers in the states of a whole trading server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where each wanted account stands among the sorted accounts of a server. Both change seldom: worth keeping."""

    server_account_ids: Int64Array
    account_ids: Int64Array
    rows: NDArray[np.intp]
    found: NDArray[np.bool_]

    def fits(self, server_account_ids: Int64Array, account_ids: Int64Array) -> bool:
        """Whether it still holds for these columns."""
        return _same(self.account_ids, account_ids) and _same(self.server_account_ids, server_account_ids)

    def pick(self, column: Int64Array) -> Int64Array:
        """The wanted accounts' values of a server's column; UNKNOWN_BASIS where the account is not there."""
        if self.found.all():
            return column[self.rows]
        return np.where(self.found, column[self.rows], UNKNOWN_BASIS) if column.size else self._nobody()

    def _nobody(self) -> Int64Array:
        return np.full(self.account_ids.shape, UNKNOWN_BASIS)


def align(server_account_ids: Int64Array, account_ids: Int64Array) -> Alignment:
    """`server_account_ids` is sorted, `account_ids` in any order."""
    rows = np.searchsorted(server_account_ids, account_ids)
    rows[rows == server_account_ids.size] = 0
    if server_account_ids.size:
        found = server_account_ids[rows] == account_ids
    else:
        found = np.zeros(account_ids.shape, dtype=np.bool_)
    return Alignment(server_account_ids, account_ids, rows, found)


def _same(left: Int64Array, right: Int64Array) -> bool:
    return left is right or np.array_equal(left, right)
