"""All limits of one trading server as columns, judged against each snapshot of its accounts.

A breach (equity below the signal) trips at once, unless something speaks against the figure:

- the balance moved, no deal explains it, and the equity would be no breach if all of that were a withdrawal: wait for
  the deal, up to `unexplained_ms` (BALANCE_UNEXPLAINED);
- the snapshot is old (STATE_STALE), the prices behind it are old, or the equity jumped more than `jump_percent_e8` of
  the base since the snapshot before, or there was none before (PRICE_SUSPECT): trip on the next snapshot that is fresh
  and still below the signal, or after `confirm_ms`.

An account that is not in the snapshot is not judged: absent is not zero (STATE_MISSING).

A day lasts until a later one is seen: a server clock that falls back over midnight neither ends nor begins one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from apportion.money import INT64_MIN, Int64Array, mul_div_floor
from apportion.risk.domain.books import DayStart, Known
from apportion.risk.domain.limits import HUNDRED_PERCENT_E8, Alarm, DailyLimit, LimitState, server_day_of, signals
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.domain.trips import Evidence

BoolArray: TypeAlias = NDArray[np.bool_]
NEVER = -1


@dataclass(frozen=True, slots=True)
class Doubts:
    """When a figure is not believed at once. Times in milliseconds of our own clock."""

    unexplained_ms: int
    confirm_ms: int
    jump_percent_e8: int


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot seen from the limits: row i belongs to limit i, where `seen`."""

    snapshot: Snapshot
    seen: BoolArray
    balances_minor: Int64Array
    credits_minor: Int64Array
    equities_minor: Int64Array

    @property
    def server_day(self) -> int:
        return server_day_of(self.snapshot.server_time_ms)


class Watch:
    """The limits of one server in account order, and what the snapshots so far have told about each."""

    def __init__(self, limits: Sequence[DailyLimit]) -> None:
        self.limits = sorted(limits, key=lambda limit: limit.account_id)
        self.account_ids = self._column("account_id")
        self.server_days = self._column("server_day")
        self.percents_e8 = self._column("limit_percent_e8")
        self.day_starts_minor = self._column("day_start_equity_minor")
        self.flows_minor = self._column("day_flow_minor")
        self.armed: BoolArray = np.array([limit.state is LimitState.ARMED for limit in self.limits], dtype=bool)
        waiting = np.array([limit.state is LimitState.WAITING for limit in self.limits], dtype=bool)
        self.armable: BoolArray = self.armed | waiting
        self.alarms = [limit.alarm for limit in self.limits]
        count = len(self.limits)
        # No balance is like this one: the first snapshot has to be explained by the books.
        self.expected_balances_minor = np.full(count, INT64_MIN, dtype=np.int64)
        self.expected_credits_minor = np.zeros(count, dtype=np.int64)
        self.last_equities_minor = np.zeros(count, dtype=np.int64)
        self.previous_equities_minor = np.zeros(count, dtype=np.int64)
        self.last_versions = np.full(count, NEVER, dtype=np.int64)
        self.unexplained_since_ms = np.full(count, NEVER, dtype=np.int64)
        self.unexplained_minor = np.zeros(count, dtype=np.int64)
        self.doubted_flows_minor = np.zeros(count, dtype=np.int64)
        self.suspect_since_ms = np.full(count, NEVER, dtype=np.int64)
        self.suspect_versions = np.full(count, NEVER, dtype=np.int64)

    def remember(self, before: Watch) -> None:
        """Take over what an earlier watch had seen of the same accounts on the same day."""
        rows = {limit.account_id: row for row, limit in enumerate(before.limits)}
        for row, limit in enumerate(self.limits):
            old = rows.get(limit.account_id)
            if old is None or before.limits[old].day_start_time_ms != limit.day_start_time_ms:
                continue
            self.expected_balances_minor[row] = before.expected_balances_minor[old]
            self.expected_credits_minor[row] = before.expected_credits_minor[old]
            self.flows_minor[row] = before.flows_minor[old]
            self.last_equities_minor[row] = before.last_equities_minor[old]
            self.previous_equities_minor[row] = before.previous_equities_minor[old]
            self.last_versions[row] = before.last_versions[old]
            self.unexplained_since_ms[row] = before.unexplained_since_ms[old]
            self.unexplained_minor[row] = before.unexplained_minor[old]
            self.doubted_flows_minor[row] = before.doubted_flows_minor[old]
            self.suspect_since_ms[row] = before.suspect_since_ms[old]
            self.suspect_versions[row] = before.suspect_versions[old]

    def view(self, snapshot: Snapshot) -> View:
        """Aligns the snapshot with the limits."""
        if not snapshot.account_ids.size:
            nothing = np.zeros(len(self.limits), dtype=np.int64)
            return View(snapshot, np.zeros(len(self.limits), dtype=bool), nothing, nothing, nothing)
        rows = np.minimum(np.searchsorted(snapshot.account_ids, self.account_ids), snapshot.account_ids.size - 1)
        return View(
            snapshot=snapshot,
            seen=snapshot.account_ids[rows] == self.account_ids,
            balances_minor=snapshot.balances_minor[rows],
            credits_minor=snapshot.credits_minor[rows],
            equities_minor=snapshot.equities_minor[rows],
        )

    def without_day_start(self, view: View) -> BoolArray:
        """Limits whose server day has begun with this snapshot."""
        return view.seen & self.armable & (self.server_days < view.server_day)

    def to_explain(self, view: View) -> BoolArray:
        """Armed limits whose balance or credit is not the one expected."""
        expected = (view.balances_minor == self.expected_balances_minor) & (
            view.credits_minor == self.expected_credits_minor
        )
        moved: BoolArray = view.seen & self.armed & (self.server_days >= view.server_day) & ~expected
        return moved

    def day_start(self, row: int) -> DayStart:
        """The bookkeeping starts here."""
        limit = self.limits[row]
        return DayStart(
            limit.day_start_balance_minor,
            limit.day_start_credit_minor,
            limit.day_start_time_ms,
            limit.day_start_ticket,
        )

    def explained(self, row: int, view: View, flow_minor: int) -> None:
        """The books lead to this balance."""
        self.expected_balances_minor[row] = view.balances_minor[row]
        self.expected_credits_minor[row] = view.credits_minor[row]
        self.flows_minor[row] = flow_minor
        self.unexplained_since_ms[row] = NEVER
        self.unexplained_minor[row] = 0

    def unexplained(self, row: int, known: Known, now_ms: int, doubts: Doubts) -> None:
        """No deal leads to this balance; once that has lasted too long, the flows that are known have to do."""
        if self.unexplained_since_ms[row] == NEVER:
            self.unexplained_since_ms[row] = now_ms
        if now_ms - self.unexplained_since_ms[row] >= doubts.unexplained_ms:
            self.flows_minor[row] = known.flow_minor
        self.unexplained_minor[row] = known.rest_minor
        self.doubted_flows_minor[row] = known.flow_minor + known.rest_minor

    def judge(self, view: View, *, doubt: Alarm, now_ms: int, doubts: Doubts) -> Int64Array:
        """The rows that trip now. Sets `alarms`, and remembers what the next snapshot has to confirm.

        `doubt` speaks against all figures of the snapshot; NONE: nothing does.
        """
        version = view.snapshot.version
        bases_minor = self.day_starts_minor + self.flows_minor
        breached = (
            view.seen
            & self.armed
            & (self.server_days >= view.server_day)
            & (view.equities_minor < signals(bases_minor, self.percents_e8))
        )
        unexplained = self.unexplained_since_ms != NEVER
        doubted_minor = self.day_starts_minor + self.doubted_flows_minor
        excused = unexplained & (view.equities_minor >= signals(doubted_minor, self.percents_e8))
        held = breached & excused & ~self._overdue(now_ms, doubts)
        believed = breached & ~held
        suspected = self.suspect_versions != NEVER
        is_doubted = doubt is not Alarm.NONE
        doubtful = self._jumped(view, bases_minor, doubts) | is_doubted
        confirmed = suspected & (self.suspect_versions < version) & (not is_doubted)
        waited = suspected & (now_ms - self.suspect_since_ms >= doubts.confirm_ms)
        trips = believed & (confirmed | waited | ~(suspected | doubtful))
        suspects = believed & ~trips
        fresh = suspects & ~suspected
        self.suspect_versions[fresh], self.suspect_since_ms[fresh] = version, now_ms
        calm = view.seen & ~breached
        self.suspect_versions[calm], self.suspect_since_ms[calm] = NEVER, NEVER
        self._remember_equities(view, held)
        missing = self.armed & ~view.seen
        self._set_alarms(suspects, held | (unexplained & ~suspects & self._overdue(now_ms, doubts)), missing, doubt)
        return np.flatnonzero(trips)

    def is_pending(self) -> bool:
        """Whether time alone, without a new snapshot, may change a judgement."""
        return bool(((self.suspect_versions != NEVER) | (self.unexplained_since_ms != NEVER)).any())

    def evidence(self, row: int, view: View, now: datetime) -> Evidence:
        """What a row that `judge` gave trips on. `previous_equity_minor` is that of the last look but this one."""
        limit = self.limits[row]
        base_minor = self.day_starts_minor[row : row + 1] + self.flows_minor[row]
        return Evidence(
            server_day=limit.server_day,
            day_start_equity_minor=limit.day_start_equity_minor,
            day_flow_minor=int(self.flows_minor[row]),
            limit_percent_e8=limit.limit_percent_e8,
            basis=limit.basis,
            signal_equity_minor=int(signals(base_minor, self.percents_e8[row : row + 1])[0]),
            equity_minor=int(view.equities_minor[row]),
            balance_minor=int(view.balances_minor[row]),
            unexplained_minor=int(self.unexplained_minor[row]),
            previous_equity_minor=int(self.previous_equities_minor[row]),
            alarm=self._alarm_of_trip(row),
            snapshot_source=view.snapshot.source,
            server_time_ms=view.snapshot.server_time_ms,
            observed_time=view.snapshot.observed_time,
            decide_time=now,
        )

    def _alarm_of_trip(self, row: int) -> Alarm:
        """What had spoken against the figure on which the limit trips."""
        if self.unexplained_since_ms[row] != NEVER:
            return Alarm.BALANCE_UNEXPLAINED
        return Alarm.PRICE_SUSPECT if self.suspect_versions[row] != NEVER else Alarm.NONE

    def _jumped(self, view: View, bases_minor: Int64Array, doubts: Doubts) -> BoolArray:
        allowed_minor = mul_div_floor(np.maximum(bases_minor, 0), doubts.jump_percent_e8, HUNDRED_PERCENT_E8)
        changes_minor = np.abs(view.equities_minor - self.last_equities_minor)
        jumped: BoolArray = (self.last_versions == NEVER) | (changes_minor > allowed_minor)
        return jumped

    def _overdue(self, now_ms: int, doubts: Doubts) -> BoolArray:
        overdue: BoolArray = now_ms - self.unexplained_since_ms >= doubts.unexplained_ms
        return overdue

    def _remember_equities(self, view: View, held: BoolArray) -> None:
        """One look counts once; an equity that was not judged yet is no measure for the next."""
        news = view.seen & ~held & (self.last_versions != view.snapshot.version)
        self.previous_equities_minor[news] = self.last_equities_minor[news]
        self.last_equities_minor[news] = view.equities_minor[news]
        self.last_versions[news] = view.snapshot.version

    def _set_alarms(self, suspects: BoolArray, unexplained: BoolArray, missing: BoolArray, doubt: Alarm) -> None:
        self.alarms = [Alarm.NONE] * len(self.limits)
        for row in np.flatnonzero(suspects):
            self.alarms[row] = doubt or Alarm.PRICE_SUSPECT
        for row in np.flatnonzero(unexplained):
            self.alarms[row] = Alarm.BALANCE_UNEXPLAINED
        for row in np.flatnonzero(missing):
            self.alarms[row] = Alarm.STATE_MISSING

    def _column(self, name: str) -> Int64Array:
        return np.array([getattr(limit, name) for limit in self.limits], dtype=np.int64)
