"""One scripted trading day: prices set by hand, the server's clock moved by hand, each step waited for.

Nothing depends on how fast the machine is: the next step begins when everything has followed the last one. So the
final books are the same on every machine, and after any crash on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp

from apportion.api.allocation.v1 import allocations_pb2
from apportion.api.common.v1 import money_pb2
from apportion.api.fees.v1 import calculations_pb2
from apportion.api.platform_groups.v1 import transfers_pb2
from apportion.api.risk.v1 import limits_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.devstack.ledger import Ledger, read_ledger
from apportion.devstack.world import CURRENCY, World
from apportion.errors import DomainError
from apportion.mt5_simulator.process import AdminRefused, SimulatorProcess

START = "2024-03-11T09:00:00"
# Of the server's clock, between two steps.
STEP_SECONDS = 1_800
TRADE_DISABLED = 10017
SETTLE_SECONDS = 180.0
POLL_SECONDS = 0.1
# What a call meets while the process behind it is away.
FAILURES = (DomainError, OSError, aiohttp.ClientError)
MOVING_CHILDREN = {
    allocations_pb2.CHILD_TRADE_STATE_PENDING,
    allocations_pb2.CHILD_TRADE_STATE_SENT,
    allocations_pb2.CHILD_TRADE_STATE_EXPIRED,
}
MOVING_LIMITS = {limits_pb2.LIMIT_STATE_WAITING, limits_pb2.LIMIT_STATE_TRIPPED, limits_pb2.LIMIT_STATE_CLOSING}


class DayFailed(Exception):
    """A step was not followed in time; the message says by whom."""


@dataclass
class Day:
    world: World
    clients: Clients
    simulator: SimulatorProcess
    # Called with the step's name before each step.
    announce: Callable[[str], Awaitable[None]]

    async def play(self) -> None:
        """All steps in order; raises DayFailed."""
        for name, step in self._steps():
            await self._insist(self._pass_time)
            await self.announce(name)
            await self._insist(step)
            await self.settle(name)

    def _steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        pool, part = self._pool_volumes()
        return [
            ("the market opens", lambda: self._prices("1.10000", "1.27000")),
            ("the copied master buys 1.00 EURUSD", lambda: self._trade("copy", "EURUSD", 1, "1.00")),
            ("the multiplied master sells 0.50 GBPUSD", lambda: self._trade("multiplier", "GBPUSD", -1, "0.50")),
            (f"the pooled master buys {pool} EURUSD", lambda: self._trade("pooled", "EURUSD", 1, pool)),
            ("prices move", lambda: self._prices("1.10300", "1.26800")),
            ("the copied master closes 0.40", lambda: self._close("copy", "EURUSD", "0.40")),
            (f"the pooled master closes {part}", lambda: self._close("pooled", "EURUSD", part)),
            ("the multiplied master closes all", lambda: self._close("multiplier", "GBPUSD")),
            ("an investor withdraws a tenth to the wallet", self._withdraw),
            ("an investor closes a copied position by hand", self._close_by_hand),
            ("the copied master buys 0.50 GBPUSD", lambda: self._trade("copy", "GBPUSD", 1, "0.50")),
            ("the euro falls; the daily limit trips", lambda: self._prices("1.08500", "1.26800")),
            ("the tripped master tries to trade", self._refused_trade),
            ("the next server day begins", self._next_day),
            ("the copied master buys 0.20 EURUSD", lambda: self._trade("copy", "EURUSD", 1, "0.20")),
            ("prices move back", lambda: self._prices("1.09000", "1.27500")),
            ("everything is closed", self._close_all),
        ]

    async def settle(self, step: str) -> None:
        """Wait until all services have followed; raises DayFailed with what is missing."""
        give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
        missing = ["nothing was read"]
        while missing:
            if asyncio.get_running_loop().time() > give_up:
                raise DayFailed(f"after '{step}': {'; '.join(missing[:5])}")
            await asyncio.sleep(POLL_SECONDS)
            try:
                missing = await self._missing()
            except FAILURES as error:
                missing = [f"{type(error).__name__}: {error}"]

    async def _missing(self) -> list[str]:
        ledger = await read_ledger(self.world, self.clients, self.simulator)
        limits = (
            await self.clients.call(self.clients.limits.ListDailyLimits, limits_pb2.ListDailyLimitsRequest())
        ).daily_limits
        missing = [*_moving(self.world, ledger), *_unseen(self.world, ledger)]
        server = ledger.server
        today = (await server_clock(self.simulator) - datetime(1970, 1, 1, tzinfo=UTC)).days
        for limit in limits:
            login = ledger.accounts[limit.account_id].login
            if limit.server_day != today:
                missing.append(f"limit of {login} is in day {limit.server_day}, the server in {today}")
            elif limit.state in MOVING_LIMITS:
                missing.append(f"limit of {login} is {limits_pb2.LimitState.Name(limit.state)}")
            elif limit.state == limits_pb2.LIMIT_STATE_ARMED and limit.last_equity_minor < limit.signal_equity_minor:
                missing.append(f"limit of {login} is broken and not tripped")
            elif limit.last_equity_minor != server[login].equity_minor:
                missing.append(f"limit of {login} has not seen equity {server[login].equity_minor}")
        if len(limits) != len(self.world.masters):
            missing.append(f"{len(limits)} limits")
        return missing

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """A trader and an operator repeat what failed on the way; each step is written to be repeatable."""
        give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while True:
            try:
                return await step()
            except FAILURES:
                if asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(POLL_SECONDS)

    def _pool_volumes(self) -> tuple[str, str]:
        """What fits the pool's size: a lot for each 100 000 USD, and about a third of it."""
        steps = max(sum(f.deposit_minor for f in self.world.followers["pooled"]) // 100_000, 10)
        return f"{steps / 100:.2f}", f"{steps // 3 / 100:.2f}"

    async def _pass_time(self) -> None:
        await self.simulator.advance(STEP_SECONDS)

    async def _prices(self, eurusd: str, gbpusd: str) -> None:
        """Without a spread: a trade changes nobody's equity, so it does not matter which snapshot a decision sees."""
        for symbol, price in (("EURUSD", eurusd), ("GBPUSD", gbpusd)):
            await self.simulator.set_price(symbol, price, price)

    async def _trade(self, key: str, symbol: str, direction: int, volume: str) -> None:
        login = self.world.masters[key].login
        held = [p for p in await self.simulator.admin.positions(login) if p["Symbol"] == symbol]
        if not held:
            order = self.simulator.buy if direction > 0 else self.simulator.sell
            await order(login, symbol, volume)

    async def _close(self, key: str, symbol: str, volume: str | None = None) -> None:
        login = self.world.masters[key].login
        closed = [d for d in await self.simulator.admin.deals(login) if d["Symbol"] == symbol and d["Entry"] == "1"]
        for position in await self.simulator.admin.positions(login):
            if position["Symbol"] == symbol and not (volume and closed):
                await self.simulator.close(login, position["Position"], volume)

    async def _withdraw(self) -> None:
        investor = self.world.followers["copy"][0]
        amount = money_pb2.Money(currency_code=CURRENCY, amount_minor=investor.deposit_minor // 10)
        request = transfers_pb2.TransferFundsRequest(
            request_id=request_id("withdraw", investor.key),
            debit_account_id=investor.account_id,
            credit_account_id=investor.wallet_account_id,
            amount=amount,
            cause="investor",
        )
        answer = await self.clients.call(self.clients.transfers.TransferFunds, request)
        if answer.transfer.state == transfers_pb2.TRANSFER_STATE_REJECTED:
            raise DayFailed(f"the withdrawal was rejected: {answer.transfer.reason}")

    async def _close_by_hand(self) -> None:
        investor = self.world.followers["copy"][-1]
        for position in await self.simulator.admin.positions(investor.login):
            await self.simulator.close(investor.login, position["Position"])

    async def _refused_trade(self) -> None:
        try:
            await self.simulator.buy(self.world.masters["copy"].login, "EURUSD", "0.10")
        except AdminRefused as refusal:
            if refusal.retcode != TRADE_DISABLED:
                raise DayFailed(f"the tripped master got {refusal.retcode}") from refusal
        else:
            raise DayFailed("the tripped master could trade")

    async def _next_day(self) -> None:
        now = await server_clock(self.simulator)
        if f"{now:%Y-%m-%d}" == START[:10]:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            await self.simulator.advance((midnight - now).total_seconds() + 5)

    async def _close_all(self) -> None:
        for master in self.world.masters.values():
            for position in await self.simulator.admin.positions(master.login):
                await self.simulator.close(master.login, position["Position"])


async def server_clock(simulator: SimulatorProcess) -> datetime:
    """What the trading server's clock shows, in its own zone; the tzinfo is UTC in name only."""
    status = await simulator.admin.status()
    return datetime.fromtimestamp(int(status["server_time_ms"]) / 1000, UTC)


def _moving(world: World, ledger: Ledger) -> list[str]:
    """What is under way: undecided deals, children between two states, unpaid charges."""
    missing = []
    for key, master in world.masters.items():
        deals, decided = len(ledger.server[master.login].trades), len(ledger.allocations[key])
        if deals != decided:
            missing.append(f"{key}: {decided} of {deals} deals allocated")
        moving = [child for child in ledger.children[key] if child.state in MOVING_CHILDREN]
        if moving:
            state = allocations_pb2.ChildTradeState.Name(moving[0].state)
            missing.append(f"{key}: {len(moving)} children like {moving[0].child_trade_id}, {state} {moving[0].reason}")
        expected = sum(a.child_count for a in ledger.allocations[key] if a.kind == allocations_pb2.ALLOCATION_KIND_OPEN)
        if len([c for c in ledger.children[key] if c.volume_e8]) < expected:
            missing.append(f"{key}: children not projected yet")
    pending = [c for c in ledger.calculations if c.charge_state == calculations_pb2.CHARGE_STATE_PENDING]
    if pending:
        missing.append(f"{len(pending)} charges pending")
    return missing


def _unseen(world: World, ledger: Ledger) -> list[str]:
    """Where a service's picture differs from the server's."""
    missing = []
    for key, followers in world.followers.items():
        held = {position["Position"] for f in followers for position in ledger.server[f.login].positions}
        closed = sum(ledger.server[f.login].closed_volume_e8() for f in followers)
        charged = sum(c.closed_volume_e8 for c in ledger.calculations if c.master_id == world.masters[key].master_id)
        open_here = {str(c.position_ticket) for c in ledger.children[key] if c.open_volume_e8}
        if held != open_here:
            missing.append(f"{key}: {len(held)} positions on the server, {len(open_here)} children open")
        masters = {p["Symbol"] for p in ledger.server[world.masters[key].login].positions}
        orphans = [c for c in ledger.children[key] if c.open_volume_e8 and c.symbol not in masters]
        if orphans:
            missing.append(f"{key}: {len(orphans)} children of a closed master trade are open")
        if closed != charged:
            missing.append(f"{key}: {closed} closed, {charged} charged")
    for account in ledger.accounts.values():
        book = ledger.server[account.login]
        if account.snapshot.balance_minor != book.balance_minor or account.snapshot.equity_minor != book.equity_minor:
            missing.append(f"account {account.login} is not seen as it is")
    return missing
