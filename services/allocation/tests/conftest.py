"""A house with a real database; only the ports to platform-groups are stubs."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.adapters.platform_groups import PURPOSES
from apportion.allocation.consumers import handlers, preparations
from apportion.allocation.domain.accounts import Account, AccountKind, AccountStates
from apportion.allocation.domain.allocations import Allocation, AllocationKind
from apportion.allocation.domain.child_listing import ChildTradeFilter
from apportion.allocation.domain.child_orders import ChildOrders
from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS, CopySettings, LeavePolicy
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.masters import DEFAULT_ARTIFICIAL_SYMBOL, Master
from apportion.allocation.domain.methods import AccountType, AllocationMethod, AllocationMode, RoundingPolicy
from apportion.allocation.domain.positions import PositionReport
from apportion.allocation.domain.retries import Retries
from apportion.allocation.domain.subscriptions import Parameters, Subscription
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.allocation.errors import SymbolUnknown
from apportion.allocation.operations.create_master import CreateMaster, create_master
from apportion.allocation.operations.create_subscription import CreateSubscription, create_subscription
from apportion.allocation.operations.desk import Desk, Limits
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.allocation.operations.end_subscription import EndSubscription, end_subscription
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.modify_stops import repeat_stops
from apportion.allocation.operations.ports import OrderBatch
from apportion.allocation.operations.project_children import project_children
from apportion.allocation.operations.reopen_children import reopen_children
from apportion.allocation.storage.child_listing import FIRST
from apportion.api.allocation.v1 import events_pb2 as facts_pb2
from apportion.api.platform_groups.v1 import events_pb2, trading_pb2
from apportion.errors import DomainError, NotFound
from apportion.events import ReceivedEvent
from apportion.money import E8
from apportion.rpc import set_column, to_timestamp
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey, transaction

sys.path.insert(0, str(Path(__file__).parent))  # for allocation_sets

# A busy machine is no failure: examples have no deadline.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

LABEL = 1
SERVER = 7
STEP = E8 // 100
RETRIES = Retries(rejected_seconds=5, missed_seconds=0, pause_seconds=0.5, most=3, open_seconds=5)
GRID = SymbolGrid(STEP, STEP, 100 * E8)


@dataclass
class StubAccounts:
    known: dict[tuple[int, int], Account] = field(default_factory=dict)

    async def account(self, label: int, account_id: int) -> Account:
        try:
            return self.known[label, account_id]
        except KeyError:
            raise NotFound("account", account_id) from None


@dataclass
class StubSymbols:
    grids: dict[str, SymbolGrid] = field(default_factory=lambda: {"EURUSD": GRID})

    margin_currencies: dict[str, str] = field(default_factory=dict)
    contract_sizes_e8: dict[str, int] = field(default_factory=dict)
    """Of those that are not 100 000."""
    asked: list[str] = field(default_factory=list)

    refusals: list[DomainError] = field(default_factory=list)

    async def spec(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        self.asked.append(symbol)
        if self.refusals:
            raise self.refusals.pop(0)
        return self.spec_at_hand(label, trading_server_id, symbol)

    def spec_at_hand(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        if symbol not in self.grids:
            raise SymbolUnknown(symbol=symbol)
        margin_currency = self.margin_currencies.get(symbol, symbol[:3])
        size_e8 = self.contract_sizes_e8.get(symbol, 100_000 * E8)
        return SymbolSpec(symbol, self.grids[symbol], 5, size_e8, symbol[:3], symbol[3:6], margin_currency)

    def at_hand(self, label: int, trading_server_id: int) -> dict[str, SymbolSpec]:
        return {symbol: self.spec_at_hand(label, trading_server_id, symbol) for symbol in self.grids}


@dataclass
class StubRates:
    rates_e8: dict[tuple[str, str], int] = field(default_factory=dict)

    async def conversion_e8(self, label: int, trading_server_id: int, source: str, target: str) -> int:
        return E8 if source == target else self.rates_e8.get((source, target), 0)


@dataclass
class StubStates:
    """The equities that a test sets, observed whenever it says."""

    clock: FixedClock
    equities_minor: dict[int, int] = field(default_factory=dict)
    margins_minor: dict[int, int] = field(default_factory=dict)
    observed_time: datetime | None = None
    unheard: set[int] = field(default_factory=set)
    """Accounts that are not among the states."""
    asked_count: int = 0

    async def ask(self, label: int, trading_server_id: int) -> None:
        self.asked_count += 1

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        ids = sorted(self.equities_minor.keys() - self.unheard)
        equities_minor = np.array([self.equities_minor[i] for i in ids], dtype=np.int64)
        return AccountStates(
            observed_time=self.observed_time or self.clock.now(),
            account_ids=np.array(ids, dtype=np.int64),
            balances_minor=equities_minor,
            equities_minor=equities_minor,
            margins_minor=np.array([self.margins_minor.get(i, 0) for i in ids], dtype=np.int64),
            free_margins_minor=equities_minor - np.array([self.margins_minor.get(i, 0) for i in ids], dtype=np.int64),
            leverages=np.full(len(ids), 100),
        )


@dataclass
class StubPositions:
    """What accounts that begin to follow have open; nothing but what a test says."""

    clock: FixedClock
    held: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    """(ticket, symbol, signed volume) by account."""

    async def report(self, label: int, account_ids: Sequence[int]) -> PositionReport:
        found = [(account_id, *self.held[account_id]) for account_id in account_ids if account_id in self.held]
        ids, tickets, symbols, volumes_e8 = zip(*found, strict=True) if found else ((), (), (), ())
        none = np.zeros(len(found), dtype=np.int64)
        columns = (np.array(column, dtype=np.int64) for column in (ids, tickets, volumes_e8))
        account_ids, tickets, volumes_e8 = columns
        return PositionReport(self.clock.now(), account_ids, tickets, list(symbols), volumes_e8, none, none)


@dataclass(frozen=True)
class SentBatch:
    """An order batch as platform-groups gets it, all columns side by side."""

    request_id: uuid.UUID
    source_id: str
    kind: AllocationKind
    reference_price_e8: int
    not_after_time: datetime | None
    halt_epoch: int
    symbols: tuple[str, ...]
    symbol_rows: np.ndarray
    item_ids: np.ndarray
    account_ids: np.ndarray
    volumes_e8: np.ndarray
    position_tickets: np.ndarray
    stop_losses_e8: np.ndarray
    take_profits_e8: np.ndarray
    max_slippages_e8: np.ndarray

    @property
    def child_symbols(self) -> list[str]:
        return [self.symbols[row] for row in self.symbol_rows]


def sent(batch: OrderBatch) -> SentBatch:
    own = ("request_id", "source_id", "kind", "reference_price_e8", "not_after_time", "halt_epoch")
    orders = {name: getattr(batch.orders, name) for name in type(batch.orders).__slots__}
    return SentBatch(**{name: getattr(batch, name) for name in own}, **orders)


@dataclass
class StubOrders:
    batches: list[SentBatch] = field(default_factory=list)
    refusals: list[DomainError] = field(default_factory=list)
    voided: list[tuple[int, int]] = field(default_factory=list)
    """(ordering key, halt epoch)"""

    async def void_opens(self, _label: int, ordering_key: int, halt_epoch: int) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.voided.append((ordering_key, halt_epoch))

    async def submit(self, batch: OrderBatch) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.batches.append(sent(batch))


def key(label: int = LABEL) -> RequestKey:
    return RequestKey(label, "test", str(uuid.uuid4()), b"hash")


@dataclass
class House:
    engine: AsyncEngine
    clock: FixedClock
    accounts: StubAccounts
    symbols: StubSymbols
    states: StubStates
    rates: StubRates
    orders: StubOrders
    desk: Desk
    positions: StubPositions
    waiting: list[Allocation] = field(default_factory=list)
    at_hand: dict[int, ChildOrders] = field(default_factory=dict)
    event_count: int = 0
    ticket: int = 1_000
    dies: bool = False
    """Right after each commit, before what is to be done then."""

    def add_account(
        self,
        account_id: int,
        kind: AccountKind,
        *,
        equity_minor: int = 100_000,
        label: int = LABEL,
        nets: bool | None = False,
        currency: tuple[str, int] = ("USD", 2),
    ) -> Account:
        account = Account(
            account_id, kind, True, 10_000 + account_id, SERVER, *currency, account_id + 500_000, equity_minor, nets
        )
        self.accounts.known[label, account_id] = account
        self.states.equities_minor[account_id] = equity_minor
        return account

    async def master(
        self,
        method: AllocationMethod = AllocationMethod.RATIO_MULTIPLIER,
        *,
        account_id: int = 64,
        rounding: RoundingPolicy | None = None,
        equity_minor: int = 100_000,
        nets: bool | None = False,
        currency: tuple[str, int] = ("USD", 2),
        **more: object,
    ) -> Master:
        self.add_account(account_id, AccountKind.MASTER, equity_minor=equity_minor, nets=nets, currency=currency)
        account_type = AccountType.COPY if method is AllocationMethod.COPY_BY_EQUITY else AccountType.MAM
        command = CreateMaster(
            key(),
            f"Master {account_id}",
            account_type,
            account_id,
            method,
            rounding,
            0,
            None,
            AllocationMode.TRADES,
            DEFAULT_ARTIFICIAL_SYMBOL,
            RoundingPolicy.NEAREST_LARGEST,
        )
        return await create_master(
            self.engine, self.accounts, self.positions, replace(command, **more), now=self.clock.now()
        )

    async def follower(
        self,
        master: Master,
        account_id: int,
        *,
        ratio_e8: int = E8,
        equity_minor: int = 100_000,
        settings: CopySettings = DEFAULT_SETTINGS,
        nets: bool | None = False,
        **parameters: int,
    ) -> Subscription:
        currency = master.currency_code, master.currency_digits
        self.add_account(account_id, AccountKind.INVESTMENT, equity_minor=equity_minor, nets=nets, currency=currency)
        parameters = Parameters(ratio_e8=ratio_e8, **parameters)
        command = CreateSubscription(key(), master.master_id, account_id, parameters, settings)
        return await create_subscription(
            self.engine, self.desk, self.accounts, self.positions, command, now=self.clock.now()
        )

    async def end(self, subscription: Subscription, policy: LeavePolicy | None = None) -> Subscription:
        command = EndSubscription(key(), subscription.subscription_id, policy)
        return await end_subscription(self.engine, command, now=self.clock.now())

    async def tell(
        self, payload: events_pb2.DealsObserved | events_pb2.StopsObserved | events_pb2.OrdersUpdated
    ) -> None:
        """Hands an event to its handler as the consumer does, then runs what it wants done after the commit."""
        self.event_count += 1
        event = ReceivedEvent(
            str(uuid.UUID(int=self.event_count)),
            LABEL,
            "deals",
            "7/0",
            self.event_count,
            payload.DESCRIPTOR.full_name,
            self.clock.now(),
            0,
            payload.SerializeToString(),
        )
        by_type = handlers(self.desk, self.clock, self.hand_over)
        prepare = preparations(self.desk, self.clock).get(event.type)
        if prepare is not None:
            await prepare(event)
        async with transaction(self.engine) as tx:
            after_commit = await by_type[event.type](tx, event)
        if after_commit is not None and not self.dies:
            await after_commit()

    async def deal(
        self,
        account_id: int,
        volume_lots: float,
        *,
        position: int,
        entry: int = events_pb2.DEAL_ENTRY_IN,
        ticket: int | None = None,
        ordered: bool = False,
        symbol: str = "EURUSD",
        observed_time: datetime | None = None,
        stops: tuple[int, int] = (0, 0),
        age_ms: int = 0,
        money: tuple[int, int, int] = (0, 0, 0),
        price: float = 1.0,
        reason: int = 0,
        order: tuple[str, int, int] | None = None,
    ) -> int:
        """One deal on the trading server, with its profit, swap and commission, and why it was made, as MetaTrader
        says it; of our order (source, item, purpose) on a netting account. Returns its ticket.
        """
        self.ticket += 1
        ticket = ticket or self.ticket
        message = deals_observed(
            [(ticket, account_id, position, entry, round(volume_lots * E8), ordered, symbol)],
            observed_time or self.clock.now(),
            stops=stops,
            age_ms=age_ms,
        )
        message.prices_e8[:], message.reasons[:] = [round(price * E8)], [reason]
        message.profits_minor[:], message.swaps_minor[:], message.commissions_minor[:] = ([part] for part in money)
        if order is not None:
            message.order_sources[:] = ["", order[0]]
            message.order_source_indexes[:], message.order_item_ids[:], message.order_purposes[:] = (
                [column] for column in (1, *order[1:])
            )
        await self.tell(message)
        return ticket

    def deals(self, rows: Iterable[tuple[int, int, int, int, int]], *, age_ms: int = 0) -> events_pb2.DealsObserved:
        """Of (ticket, account, position, entry, volume), as an event tells them; told to nobody yet."""
        return deals_observed([(*row, False, "EURUSD") for row in rows], self.clock.now(), age_ms=age_ms)

    @staticmethod
    def filled(batch: SentBatch, first_position: int) -> trading_pb2.OrderColumns:
        """What became of a batch, all of it filled; told to nobody yet."""
        return orders_updated(batch, first_position, {}).orders

    async def move_stops(self, account_id: int, position: int, stop_loss: float, take_profit: float) -> None:
        """The position of a master has other stops now."""
        message = events_pb2.StopsObserved(trading_server_id=SERVER, observed_time=to_timestamp(self.clock.now()))
        set_column(message, "account_ids", [account_id])
        set_column(message, "position_tickets", [position])
        set_column(message, "stop_losses_e8", [round(stop_loss * E8)])
        set_column(message, "take_profits_e8", [round(take_profit * E8)])
        await self.tell(message)

    def hand_over(self, allocations: Iterable[Allocation], at_hand: Mapping[int, ChildOrders]) -> None:
        """As the dispatcher takes decisions; a test sends them when it wants."""
        self.waiting += allocations
        self.at_hand.update(at_hand)

    async def dispatch(self) -> list[SentBatch]:
        """Sends what was decided since the last time. Returns the batches."""
        waiting, self.waiting[:] = list(self.waiting), []
        before = len(self.orders.batches)
        for allocation in waiting:
            await dispatch_allocation(
                self.engine,
                self.orders,
                allocation.label,
                allocation.allocation_id,
                self.at_hand.pop(allocation.allocation_id, None),
                retries=self.desk.limits.retries,
                clock=self.clock,
            )
        return self.orders.batches[before:]

    async def fill(self, batch: SentBatch, *, first_position: int = 0, lots: dict[int, float] | None = None) -> None:
        """Results of a batch: everything is filled, but of some items only so many lots (0: rejected)."""
        limits = {item: round(volume * E8) for item, volume in (lots or {}).items()}
        await self.tell(orders_updated(batch, first_position, limits))

    async def tell_modified(self, batch: SentBatch, reasons: dict[int, str] | None = None) -> None:
        """Results of a batch of modifications: done, but those of some items refused with a reason."""
        message = events_pb2.OrdersUpdated(source_id=batch.source_id, purpose=PURPOSES[batch.kind])
        orders, refused = message.orders, reasons or {}
        items, count = batch.item_ids.tolist(), batch.item_ids.size
        orders.reasons.extend(["", *refused.values()])
        done, not_done = trading_pb2.ORDER_STATE_FILLED, trading_pb2.ORDER_STATE_REJECTED
        set_column(orders, "item_ids", items)
        set_column(orders, "account_ids", batch.account_ids)
        set_column(orders, "states", [not_done if item in refused else done for item in items])
        set_column(orders, "reason_indexes", [[*refused].index(item) + 1 if item in refused else 0 for item in items])
        set_column(orders, "position_tickets", batch.position_tickets)
        for name in ("order_ids", "volumes_e8", "filled_volumes_e8", "prices_e8"):
            set_column(orders, name, [0] * count)
        await self.tell(message)

    async def tell_refused(self, batch: SentBatch, reason: str) -> None:
        """Results of a batch of opens: all orders were refused, with one reason."""
        message = orders_updated(batch, 0, dict.fromkeys(batch.item_ids.tolist(), 0))
        message.orders.reasons[1] = reason
        await self.tell(message)

    async def tell_missed(self, batch: SentBatch) -> None:
        """Results of a batch of opens: no order left a trace on the server."""
        message = orders_updated(batch, 0, dict.fromkeys(batch.item_ids.tolist(), 0))
        set_column(message.orders, "states", [trading_pb2.ORDER_STATE_EXPIRED] * batch.item_ids.size)
        await self.tell(message)

    def retry(self, **changes: float) -> None:
        """From now on children are opened again so long and so often."""
        self.desk.limits = replace(self.desk.limits, retries=replace(self.desk.limits.retries, **changes))

    async def reopen(self, *, after_seconds: float = 0.5) -> list[SentBatch]:
        """Some time later, children that wait for it are opened again. Returns the batches."""
        self.clock.advance(after_seconds)
        self.waiting += await reopen_children(self.engine, self.desk.limits.retries, now=self.clock.now())
        return await self.dispatch()

    async def repeat_stops(self, *, after_seconds: float = 0.5) -> list[SentBatch]:
        """Some time later, stops that wait for it are sent again. Returns the batches."""
        self.clock.advance(after_seconds)
        self.waiting += await repeat_stops(self.engine, now=self.clock.now())
        return await self.dispatch()

    @staticmethod
    def without_first(batch: SentBatch) -> SentBatch:
        return replace(
            batch, item_ids=batch.item_ids[1:], account_ids=batch.account_ids[1:], volumes_e8=batch.volumes_e8[1:]
        )

    async def dispatch_stored(self, allocation_id: int) -> None:
        """Sends a decision that the dispatcher finds in the database."""
        await dispatch_allocation(
            self.engine, self.orders, LABEL, allocation_id, retries=self.desk.limits.retries, clock=self.clock
        )

    async def tell_some(self, batch: SentBatch, items: list[int], first_position: int) -> None:
        """Results of some items of a batch only: filled."""
        rows = np.isin(batch.item_ids, items)
        part = replace(
            batch,
            item_ids=batch.item_ids[rows],
            account_ids=batch.account_ids[rows],
            volumes_e8=batch.volumes_e8[rows],
        )
        await self.tell(orders_updated(part, first_position, {}))

    async def project(self) -> None:
        """Makes the rows that the projector has not made yet."""
        while await project_children(self.engine, now=self.clock.now()):
            pass

    async def children(self, **filters: object) -> list:
        rows = await list_child_trades(self.engine, LABEL, ChildTradeFilter(**filters), behind=FIRST, limit=1_000)
        return [row.child for row in reversed(rows)]

    async def facts(self, topic: str) -> list:
        """The payloads in the outbox of a topic, in order."""
        types = {"allocations": facts_pb2.AllocationDecided, "children": facts_pb2.ChildTradesClosed}
        async with transaction(self.engine) as tx:
            rows = await tx.exec_driver_sql(
                f"SELECT payload FROM outbox WHERE aggregate_type = '{topic}' ORDER BY aggregate_id, sequence"
            )
            return [types[topic].FromString(row.payload) for row in rows]


def deals_observed(
    deals: Iterable[tuple], observed_time: datetime, *, stops: tuple[int, int] = (0, 0), age_ms: int = 0
) -> events_pb2.DealsObserved:
    tickets, accounts, positions, entries, volumes, ordered, symbols = zip(*deals, strict=True)
    message = events_pb2.DealsObserved(
        trading_server_id=SERVER,
        observed_time=to_timestamp(observed_time),
        server_time_ms=1_700_000_000_000 + age_ms,
        symbols=["", *symbols],
    )
    count = len(tickets)
    columns = {
        "deal_tickets": tickets,
        "account_ids": accounts,
        "order_tickets": [0] * count,
        "position_tickets": positions,
        "actions": [events_pb2.DEAL_ACTION_TRADE] * count,
        "entries": entries,
        "symbol_indexes": range(1, count + 1),
        "volumes_e8": volumes,
        "prices_e8": [E8] * count,
        "profits_minor": [0] * count,
        "swaps_minor": [0] * count,
        "commissions_minor": [0] * count,
        "server_times_ms": [1_700_000_000_000] * count,
        "order_ids": [int(value) for value in ordered],
        "transfer_ids": [0] * count,
        "reasons": [0] * count,
        "stop_losses_e8": [stops[0]] * count,
        "take_profits_e8": [stops[1]] * count,
    }
    for name, values in columns.items():
        set_column(message, name, list(values))
    return message


def orders_updated(batch: SentBatch, first_position: int, limits: dict[int, int]) -> events_pb2.OrdersUpdated:
    is_close = batch.kind is AllocationKind.CLOSE
    message = events_pb2.OrdersUpdated(source_id=batch.source_id, purpose=PURPOSES[batch.kind])
    volumes, items = batch.volumes_e8.tolist(), batch.item_ids.tolist()
    filled = [
        (1 if volume > 0 else -1) * min(abs(volume), limits.get(item, abs(volume)))
        for item, volume in zip(items, volumes, strict=True)
    ]
    states = [
        trading_pb2.ORDER_STATE_FILLED
        if done == asked
        else (trading_pb2.ORDER_STATE_PARTIALLY_FILLED if done else trading_pb2.ORDER_STATE_REJECTED)
        for done, asked in zip(filled, volumes, strict=True)
    ]
    orders = message.orders
    orders.reasons.extend(["", "NO_MONEY"])
    set_column(orders, "order_ids", range(1, len(items) + 1))
    set_column(orders, "item_ids", items)
    set_column(orders, "account_ids", batch.account_ids)
    set_column(orders, "states", states)
    set_column(orders, "reason_indexes", [int(state == trading_pb2.ORDER_STATE_REJECTED) for state in states])
    set_column(orders, "volumes_e8", volumes)
    set_column(orders, "filled_volumes_e8", filled)
    set_column(orders, "prices_e8", [E8 if done else 0 for done in filled])
    positions = batch.position_tickets if is_close else np.arange(first_position, first_position + len(items))
    set_column(orders, "position_tickets", np.where(np.array(filled) != 0, positions, 0))
    return message


@pytest.fixture
async def house(engine_for, clock) -> House:
    states, symbols = StubStates(clock), StubSymbols()
    rates = StubRates()
    limits = Limits(stale_seconds=10, states_seconds=5, open_seconds=5, deal_seconds=10, retries=RETRIES)
    desk = Desk(symbols, states, rates, limits)
    engine = await engine_for("apportion.allocation.storage")
    return House(engine, clock, StubAccounts(), symbols, states, rates, StubOrders(), desk, StubPositions(clock))
