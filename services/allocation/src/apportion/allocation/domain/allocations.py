"""An allocation: the durable decision how one master trade is divided, with the inputs it was computed from."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.deal_money import NO_MONEY, DealMoney
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import FAMILIES, AllocationMethod, AllocationMode, Family, RoundingPolicy
from apportion.allocation.domain.open_inputs import NO_COLUMN, NO_REASONS, Figures
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import Int64Array


class AllocationKind(enum.IntEnum):
    OPEN = 1
    CLOSE = 2
    MODIFY = 3
    """New stop losses and take profits of children. No volume changes."""


class DispatchState(enum.IntEnum):
    """How far the child orders of an allocation are on their way to platform-groups."""

    PENDING = 1
    STARTED = 2
    DONE = 3
    CANCELLED = 4
    """Opens that must not be sent (any more): the master was halted, or their time has passed."""


@dataclass(frozen=True, slots=True)
class MasterTrade:
    """One deal of a master as the trading server reported it."""

    deal_ticket: int
    position_ticket: int
    symbol: str
    volume_e8: int
    """Signed: above 0 bought."""
    price_e8: int
    server_time_ms: int
    """Raw server time of the deal, in the server's zone; 0 where it is not known."""
    stop_loss_e8: int = 0
    """0: none."""
    take_profit_e8: int = 0
    money: DealMoney = NO_MONEY
    """What the deal booked on the master's account; it is not stored with the decision, but distributed."""


def is_same_deal(known: MasterTrade, told: MasterTrade) -> bool:
    """Whether a deal that is told again is what it was, but for its volume, of which a decision may take a part."""
    return (known.position_ticket, known.symbol, known.price_e8) == (told.position_ticket, told.symbol, told.price_e8)


@dataclass(frozen=True, slots=True)
class Allocation:
    """The row of a decision without its columns."""

    allocation_id: int
    label: int
    master_id: int
    kind: AllocationKind
    trade: MasterTrade
    wave: int
    """0: the decision on the deal. Above 0: a later one on what that left over: opens of children that were missed,
    closes of what their first close did not reach, opens for a subscription that is new. Modifications are numbered by
    it from 1 on for each position of the master, whose ticket stands for their deal ticket."""
    before_volume_e8: int
    """Of a close: what the master had open before it."""
    method: AllocationMethod
    rounding: RoundingPolicy
    grid: SymbolGrid
    master_basis: int
    blanket_reason: SkipReason
    set_version: int
    halt_epoch: int
    row_count: int
    child_count: int
    """Rows with a volume, or in PROFIT mode with a record; of a modification all rows."""
    skipped_count: int
    volume_sum_e8: int
    """Of the children's magnitudes, in the direction of the master's trade."""
    decide_time: datetime
    not_after_time: datetime | None
    """Opens only: orders that could not be sent by then are given up."""
    dispatch_state: DispatchState
    dispatch_time: datetime | None
    contract_size_e8: int = 0
    """Of an open, as are the next two: the scalars of `OpenInputs` that its method computed with."""
    conversion_e8: int = 0
    currency_digits: int = 2
    point_e8: int = 0
    """Of the symbol's price: what one point is."""
    mode: AllocationMode = AllocationMode.TRADES
    """PROFIT: nothing is sent. The volumes of an open are what the method would have given, its rows hold artificial
    records by their proportions; a close has no rows, its distribution has."""

    age_ms: int = 0
    """Of an open: how old the master's trade was when it was decided on."""
    subscription_id: int = 0
    """Of an open: for this one only, who began to follow when the position was open; 0: for all of the set."""

    @property
    def is_dividing(self) -> bool:
        return FAMILIES[self.method] is Family.DIVIDING

    @property
    def master_volume_e8(self) -> int:
        """Signed. A deriving method makes the master's volume the sum of the children's, whatever the trade carried."""
        derives = self.kind is AllocationKind.OPEN and FAMILIES[self.method] is Family.DERIVING
        return self.volume_sum_e8 if derives else self.trade.volume_e8

    @property
    def unallocated_volume_e8(self) -> int:
        """Magnitude of what nobody could take of a divided trade."""
        divides = self.kind is AllocationKind.OPEN and self.wave == 0 and self.is_dividing
        return abs(self.trade.volume_e8) - abs(self.volume_sum_e8) if divides else 0


@dataclass(frozen=True, slots=True)
class AllocationFilter:
    """What to list."""

    master_id: int = 0
    """0: of all masters."""
    skip_reason: SkipReason = SkipReason.NONE
    """Those in which somebody has this reason; NONE: all."""
    only_unallocated: bool = False
    """Those that left volume to nobody."""
    with_follow_ups: bool = False
    """Further decisions on a deal, too."""


@dataclass(frozen=True, slots=True)
class AllocationColumns:
    """The columns of an allocation, of one length."""

    volumes_e8: Int64Array
    """Magnitudes, 0 where skipped."""
    reasons: NDArray[np.int8]
    bases: Int64Array
    """The figure of each child that the method used (for a close: its open volume); empty where it used none."""
    child_trade_ids: Int64Array
    """Of children that exist. Those of a first open are computed from its id; empty then."""
    position_tickets: Int64Array
    """Of the same children: 0 where one had no position yet at the decision, so that no close is sent for it;
    NO_TICKET: the close names none."""

    gate_reasons: NDArray[np.int8] = field(default_factory=lambda: NO_REASONS)
    """Of an open, as are the next three: inputs of the decision; empty where there were none."""
    caps_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    figures: Figures = field(default_factory=Figures)
    carries_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    """The result of the CARRY policy: what each is owed now."""
    close_small_rests: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Of a close: an input, empty where nobody wants it."""
    stop_losses_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    """Of a modification, as is the next: what each child gets; 0: none."""
    take_profits_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    proportions_e9: Int64Array = field(default_factory=lambda: NO_COLUMN)
    """Of an open in PROFIT mode: each row's part of what the trade will bring, 1e-9."""

    @property
    def child_count(self) -> int:
        """Of an open: rows with a volume, or with a record."""
        return int(np.count_nonzero(self.proportions_e9 if self.proportions_e9.size else self.volumes_e8))

    @property
    def names_children(self) -> bool:
        """Whether the rows are children that exist, not places in a subscription set."""
        return bool(self.child_trade_ids.size)
