"""A trading server as reports of its positions show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from apportion.allocation.domain.positions import PositionReport
from apportion.allocation.errors import PositionsTooMany
from apportion.errors import UpstreamUnavailable
from apportion.money import E8


@dataclass
class Server:
    """Positions as a trading server has them: (account, ticket) → (signed volume, our order)."""

    house: object
    positions: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    crowded: set[int] = field(default_factory=set)
    is_down: bool = False
    asked: list[list[int]] = field(default_factory=list)

    async def report(self, label: int, account_ids: Sequence[int]) -> PositionReport:
        self.asked.append(list(account_ids))
        if self.is_down:
            raise UpstreamUnavailable(service="platform-groups")
        for account_id in self.crowded & set(account_ids):
            raise PositionsTooMany(account_id=account_id)
        keys = sorted(key for key in self.positions if key[0] in set(account_ids) - self.left)
        return PositionReport(
            observed_time=self.house.clock.now(),
            account_ids=np.array([key[0] for key in keys], dtype=np.int64),
            position_tickets=np.array([key[1] for key in keys], dtype=np.int64),
            symbols=["EURUSD"] * len(keys),
            volumes_e8=np.array([self.positions[key][0] for key in keys], dtype=np.int64),
            open_prices_e8=np.full(len(keys), E8),
            order_ids=np.array([self.positions[key][1] for key in keys], dtype=np.int64),
            left_account_ids=sorted(self.left & set(account_ids)),
        )
