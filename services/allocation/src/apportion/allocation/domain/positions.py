"""What trading servers show, to be compared with the books."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from apportion.money import Int64Array


class OrphanPolicy(enum.StrEnum):
    """What becomes of a position that our order opened and that should not be open."""

    CLOSE = "close"
    SHOW = "show"


@dataclass(frozen=True, slots=True)
class PositionReport:
    """All open positions of the accounts that were asked for, columns of one length: complete, or there is none."""

    observed_time: datetime
    account_ids: Int64Array
    position_tickets: Int64Array
    symbols: list[str]
    volumes_e8: Int64Array
    """Signed: above 0 long."""
    open_prices_e8: Int64Array
    order_ids: Int64Array
    """Of platform-groups; 0: opened by somebody else."""
    floating_minor: Int64Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Floating profit and swap, in minor units of the account's currency."""
    left_account_ids: Sequence[int] = ()
    """Of those asked for, the ones that are not open at platform-groups: of them nothing is told."""

    def joined(self, other: PositionReport) -> PositionReport:
        """Both, as old as the older one."""
        return PositionReport(
            observed_time=min(self.observed_time, other.observed_time),
            account_ids=np.concatenate([self.account_ids, other.account_ids]),
            position_tickets=np.concatenate([self.position_tickets, other.position_tickets]),
            symbols=self.symbols + other.symbols,
            volumes_e8=np.concatenate([self.volumes_e8, other.volumes_e8]),
            open_prices_e8=np.concatenate([self.open_prices_e8, other.open_prices_e8]),
            order_ids=np.concatenate([self.order_ids, other.order_ids]),
            floating_minor=np.concatenate([self.floating_minor, other.floating_minor]),
            left_account_ids=[*self.left_account_ids, *other.left_account_ids],
        )
