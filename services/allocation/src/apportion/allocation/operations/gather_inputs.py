"""Gather what an opening decision depends on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.alignment import align
from apportion.allocation.domain.allocations import MasterTrade
from apportion.allocation.domain.copy_rules import Holdings, caps_e8, child_symbols, gate_reasons, limits_holdings
from apportion.allocation.domain.gates import MASTER_BASED
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import BASES, AllocationMethod, AllocationMode, Basis, Figure, needs
from apportion.allocation.domain.open_inputs import NO_COLUMN, UNKNOWN_BASIS, Figures, OpenInputs
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.domain.symbols import PRICE_DIGITS, SymbolSpec
from apportion.allocation.errors import SymbolUnknown
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.project_children import project_allocation
from apportion.allocation.storage.allocations import list_unprojected_of_master
from apportion.allocation.storage.carries import load_carries
from apportion.allocation.storage.holdings import load_held_e8, load_holdings
from apportion.errors import UpstreamUnavailable
from apportion.money import INT64_MAX, Int64Array


@dataclass(frozen=True, slots=True)
class TradeToOpen:
    """A master's trade and what is known of it."""

    trade: MasterTrade
    spec: SymbolSpec
    age_ms: int = 0
    """How old it was when we decide, by its server's clock."""
    blanket_reason: SkipReason = SkipReason.NONE
    """Keeps everybody out."""
    waits: bool = False
    """Whether missing account states and prices may still come (UpstreamUnavailable), or leave everybody out."""


UNKNOWN_SYMBOL = SymbolSpec("", SymbolGrid(step_e8=1, min_e8=1, max_e8=INT64_MAX), PRICE_DIGITS, 0, "", "", "")


def trade_at_hand(
    desk: Desk, master: Master, trade: MasterTrade, *, age_ms: int, blanket_reason: SkipReason
) -> TradeToOpen:
    """A trade that has happened, with its symbol. A symbol that the server no longer offers leaves everybody out, but
    not where profit is distributed: nobody trades the records. Raises UpstreamUnavailable for a symbol that was not
    asked for.
    """
    try:
        spec = desk.symbols.spec_at_hand(master.label, master.trading_server_id, trade.symbol)
    except SymbolUnknown:
        spec = replace(UNKNOWN_SYMBOL, name=trade.symbol)
        if master.allocation_mode is AllocationMode.TRADES:
            blanket_reason = SkipReason.SYMBOL_UNMAPPED
    return TradeToOpen(trade, spec, age_ms, blanket_reason)


@dataclass(frozen=True, slots=True)
class StoredInputs:
    """What the database knows of each subscription, as far as the method or somebody's settings look at it."""

    holdings: Holdings | None = None
    held_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    carries_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)


async def gather_inputs(
    tx: AsyncConnection, desk: Desk, master: Master, subscriptions: SubscriptionSet, opening: TradeToOpen, now: datetime
) -> OpenInputs:
    """Only the figures that the master's method and the subscriptions' settings ask for. A halt keeps everybody out."""
    stored = await load_stored(tx, master, subscriptions, opening.trade, now)
    return await put_together(desk, master, subscriptions, opening, stored, now)


def asks_database(master: Master, subscriptions: SubscriptionSet) -> bool:
    """Whether a decision needs more than is at hand in memory."""
    needed = needs(master.method, master.rounding)
    return limits_holdings(subscriptions) or Figure.HELD in needed or Figure.CARRY in needed


async def load_stored(
    tx: AsyncConnection, master: Master, subscriptions: SubscriptionSet, trade: MasterTrade, now: datetime
) -> StoredInputs:
    """What `asks_database` tells of. Where open volumes count, all decisions of the master get their rows first."""
    needed = needs(master.method, master.rounding)
    limited = limits_holdings(subscriptions)
    if limited or Figure.HELD in needed:
        for allocation_id in await list_unprojected_of_master(tx, master.master_id):
            await project_allocation(tx, master.label, allocation_id, now=now)
    buys = trade.volume_e8 > 0
    return StoredInputs(
        holdings=await load_holdings(tx, subscriptions) if limited else None,
        held_e8=await load_held_e8(tx, subscriptions, trade.symbol, buys=buys) if Figure.HELD in needed else NO_COLUMN,
        carries_e8=await load_carries(tx, subscriptions, trade.symbol) if Figure.CARRY in needed else NO_COLUMN,
    )


async def put_together(
    desk: Desk,
    master: Master,
    subscriptions: SubscriptionSet,
    opening: TradeToOpen,
    stored: StoredInputs,
    now: datetime,
) -> OpenInputs:
    """The inputs, of what the database knows and what is in memory."""
    trade, spec, buys = opening.trade, opening.spec, opening.trade.volume_e8 > 0
    needed = needs(master.method, master.rounding)
    blanket_reason = SkipReason.PAUSED_BY_RISK if master.halted else opening.blanket_reason
    waits = opening.waits and not blanket_reason
    states = await _states(desk, master, waits, now) if needed - {Figure.CARRY} else None
    bases, master_basis = _bases(desk, master, subscriptions, states)
    conversion_e8 = await _conversion_e8(desk, master, spec, waits) if Figure.PRICE in needed else 0
    max_lots_e8 = _max_lots_e8(desk, master, subscriptions, spec)
    return OpenInputs(
        method=master.method,
        rounding=master.rounding,
        grid=spec.grid,
        master_volume_e8=trade.volume_e8,
        master_basis=master_basis,
        subscriptions=subscriptions,
        bases=bases,
        blanket_reason=blanket_reason,
        gate_reasons=gate_reasons(
            subscriptions,
            trade.symbol,
            buys=buys,
            age_ms=opening.age_ms,
            usable_symbols=max_lots_e8,
            holdings=stored.holdings,
        ),
        caps_e8=caps_e8(subscriptions, spec, max_lots_e8, stored.holdings),
        figures=Figures(
            margins=_figure(desk, subscriptions, states, "margins_minor") if Figure.MARGIN in needed else NO_COLUMN,
            leverages=_figure(desk, subscriptions, states, "leverages") if Figure.LEVERAGE in needed else NO_COLUMN,
            held_e8=stored.held_e8,
            carries_e8=stored.carries_e8,
        ),
        contract_size_e8=spec.contract_size_e8 if Figure.PRICE in needed else 0,
        conversion_e8=conversion_e8,
        currency_digits=master.currency_digits,
    )


async def _states(desk: Desk, master: Master, waits: bool, now: datetime) -> AccountStates | None:
    states = await desk.fresh_states(master.trading_server_id, now)
    if waits and states is None:
        raise UpstreamUnavailable("no account states are at hand", service="platform-groups")
    return states


async def _conversion_e8(desk: Desk, master: Master, spec: SymbolSpec, waits: bool) -> int:
    """Of the symbol's margin currency into the accounts'; 0 while no quote leads there."""
    found_e8 = await desk.rates.conversion_e8(
        master.label, master.trading_server_id, spec.margin_currency_code, master.currency_code
    )
    if waits and not found_e8:
        raise UpstreamUnavailable("no price is at hand", service="platform-groups")
    return found_e8


def _bases(
    desk: Desk, master: Master, subscriptions: SubscriptionSet, states: AccountStates | None
) -> tuple[Int64Array, int]:
    """The figure that the method divides or copies by: of each subscription, and of the master where it is compared."""
    basis = BASES[master.method]
    if basis is Basis.NONE:
        return NO_COLUMN, 0
    name = _COLUMNS[basis]
    bases = _figure(desk, subscriptions, states, name)
    if master.method not in MASTER_BASED and master.method is not AllocationMethod.LOT_MULTIPLIER:
        return bases, 0
    if states is None:
        return bases, UNKNOWN_BASIS
    own = align(states.account_ids, np.array([master.account_id])).pick(getattr(states, name))
    return bases, int(own[0])


_COLUMNS = {Basis.BALANCE: "balances_minor", Basis.EQUITY: "equities_minor", Basis.FREE_MARGIN: "free_margins_minor"}


def _figure(desk: Desk, subscriptions: SubscriptionSet, states: AccountStates | None, column: str) -> Int64Array:
    """A column of the account states in login order; UNKNOWN_BASIS where a state is missing or too old."""
    if states is None:
        return np.full(len(subscriptions), UNKNOWN_BASIS)
    return desk.aligned(states, subscriptions).pick(getattr(states, column))


def _max_lots_e8(desk: Desk, master: Master, subscriptions: SubscriptionSet, spec: SymbolSpec) -> dict[str, int]:
    """Of the children's symbols in which volumes and prices mean what they mean in the master's."""
    wanted = child_symbols(subscriptions, spec.name)
    if master.allocation_mode is AllocationMode.PROFIT:
        return dict.fromkeys(wanted, spec.grid.max_e8)  # nobody trades them
    known = desk.symbols.at_hand(master.label, master.trading_server_id)
    specs = {name: spec if name == spec.name else known.get(name) for name in wanted}
    return {name: child.grid.max_e8 for name, child in specs.items() if child is not None and child.trades_like(spec)}
