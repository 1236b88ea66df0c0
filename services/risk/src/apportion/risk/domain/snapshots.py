"""What one look at a trading server showed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from apportion.money import Int64Array

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SnapshotSource(enum.IntEnum):
    """Numbers as on the wire. WEATHER was heard through Redis, ASKED is an answer of platform-groups."""

    WEATHER = 1
    ASKED = 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The accounts of one trading server, sorted by id. Whatever its source, what was observed later is newer."""

    source: SnapshotSource
    observed_time: datetime
    server_time_ms: int
    account_ids: Int64Array
    balances_minor: Int64Array
    credits_minor: Int64Array
    equities_minor: Int64Array

    @property
    def version(self) -> int:
        """Grows with each look: the microsecond in which the server was read."""
        return (self.observed_time - _EPOCH) // _MICROSECOND

    def equity_minor(self, account_id: int) -> int | None:
        """None for an account that is not in the snapshot: absent is not zero."""
        row = int(np.searchsorted(self.account_ids, account_id))
        if row == self.account_ids.size or self.account_ids[row] != account_id:
            return None
        return int(self.equities_minor[row])
