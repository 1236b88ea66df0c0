"""The live terminal board: processes, masters with their last trades, fees, limits and latency."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2
from apportion.api.platform_groups.v1 import accounts_pb2, trading_pb2
from apportion.api.risk.v1 import limits_pb2
from apportion.devstack.clients import Clients
from apportion.devstack.stack import Stack
from apportion.devstack.world import DemoMaster, World
from apportion.money import E8

TRADES_SHOWN = 3
MIB = 1 << 20


@dataclass
class TradeRow:
    allocation: allocations_pb2.Allocation
    # From the master's deal to the last child's, on the server's clock, in real milliseconds; None: not all there yet.
    latency_ms: float | None


@dataclass
class MasterRow:
    master: DemoMaster
    follower_count: int
    account: accounts_pb2.Account
    fees_minor: int
    limit: limits_pb2.DailyLimit | None
    trades: list[TradeRow]


@dataclass
class Board:
    """Reads everything through the services' own RPCs. `speed` is how fast the server's clock runs, and `notices` are
    lines to try.
    """

    stack: Stack
    clients: Clients
    world: World
    speed: float
    notices: list[str] = field(default_factory=list)
    _latencies: dict[int, float] = field(default_factory=dict)

    async def read(self) -> RenderableType:
        """A picture of now."""
        listing = limits_pb2.ListDailyLimitsRequest(page_size=100)
        answer = await self.clients.call(self.clients.limits.ListDailyLimits, listing)
        limits = {limit.master_id: limit for limit in answer.daily_limits}
        rows = [await self._row(master, limits.get(master.master_id)) for master in self.world.masters.values()]
        try_it = Panel("\n".join(self.notices), title="Try it")
        return Group(try_it, _masters(rows), _trades(rows), _processes(self.stack))

    async def _row(self, master: DemoMaster, limit: limits_pb2.DailyLimit | None) -> MasterRow:
        account = await self._account(master.account_id)
        wallet = await self._account(master.wallet_account_id)
        listing = allocations_pb2.ListAllocationsRequest(master_id=master.master_id, page_size=TRADES_SHOWN)
        answer = await self.clients.call(self.clients.allocations.ListAllocations, listing)
        trades = [TradeRow(allocation, await self._latency(allocation)) for allocation in answer.allocations]
        followers = len(self.world.followers[master.style.key])
        return MasterRow(master, followers, account, wallet.snapshot.balance_minor, limit, trades)

    async def _account(self, account_id: int) -> accounts_pb2.Account:
        answer: accounts_pb2.GetAccountResponse = await self.clients.call(
            self.clients.accounts.GetAccount, accounts_pb2.GetAccountRequest(account_id=account_id)
        )
        return answer.account

    async def _latency(self, allocation: allocations_pb2.Allocation) -> float | None:
        known = self._latencies.get(allocation.allocation_id)
        if known is not None or not allocation.child_count or not allocation.server_time_ms:
            return known
        request = trading_pb2.ListOrdersRequest(source_id=f"allocation/{allocation.allocation_id}", page_size=1000)
        orders = (await self.clients.call(self.clients.trading.ListOrders, request)).orders
        times = [time for time in orders.server_times_ms if time]
        if len(times) < allocation.child_count:
            return None
        latency: float = (max(times) - allocation.server_time_ms) / self.speed
        self._latencies[allocation.allocation_id] = latency
        return latency


def _processes(stack: Stack) -> RenderableType:
    table = Table(title="Processes", expand=True)
    for column in ("process", "pid", "state", "memory", "cpu s"):
        table.add_column(column, justify="right" if column in {"pid", "memory", "cpu s"} else "left")
    for name, process in stack.services.items():
        state = "[green]ready[/]" if process.ready else "[red]not ready[/]"
        table.add_row(name, str(process.pid or "-"), state, *_usage(process.pid))
    for name, pid in (("postgres", stack.postgres.pid), ("valkey", stack.valkey.pid)):
        table.add_row(name, str(pid or "-"), "[green]up[/]" if pid else "[red]down[/]", *_usage(pid))
    return table


def _usage(pid: int | None) -> tuple[str, str]:
    if pid is None:
        return "-", "-"
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return f"{process.memory_info().rss // MIB} MiB", f"{times.user + times.system:.1f}"
    except psutil.NoSuchProcess:
        return "-", "-"


def _masters(rows: list[MasterRow]) -> RenderableType:
    table = Table(title="Masters", expand=True)
    for column in ("master", "login", "method", "followers", "equity", "signal equity", "limit", "fees earned"):
        table.add_column(column, justify="left" if column in {"master", "method", "limit"} else "right")
    for row in rows:
        state = limits_pb2.LimitState.Name(row.limit.state).removeprefix("LIMIT_STATE_") if row.limit else "-"
        colour = {"ARMED": "green", "WAITING": "yellow"}.get(state, "red")
        style = row.master.style
        table.add_row(
            style.name,
            str(row.master.login),
            masters_pb2.AllocationMethod.Name(style.method).removeprefix("ALLOCATION_METHOD_"),
            str(row.follower_count),
            _money(row.account.snapshot.equity_minor),
            _money(row.limit.signal_equity_minor) if row.limit else "-",
            f"[{colour}]{state}[/]",
            _money(row.fees_minor),
        )
    return table


def _trades(rows: list[MasterRow]) -> RenderableType:
    table = Table(title="Last trades", expand=True)
    for column in (
        "master",
        "trade",
        "symbol",
        "master lots",
        "children",
        "sum of children",
        "skipped",
        "to last child",
    ):
        table.add_column(column, justify="left" if column in {"master", "trade", "symbol"} else "right")
    for row in rows:
        for trade in row.trades:
            allocation = trade.allocation
            table.add_row(
                row.master.style.name,
                allocations_pb2.AllocationKind.Name(allocation.kind).removeprefix("ALLOCATION_KIND_"),
                allocation.symbol,
                f"{allocation.master_volume_e8 / E8:+.2f}",
                str(allocation.child_count),
                f"{allocation.child_volume_sum_e8 / E8:+.2f}",
                str(allocation.skipped_count),
                "-" if trade.latency_ms is None else f"{trade.latency_ms:.0f} ms",
            )
        table.add_section()
    return table


def _money(minor: int) -> str:
    return f"{minor / 100:,.2f}"
