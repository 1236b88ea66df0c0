"""The demo's broker: two groups, three managers with a master each, and their investors.

Sizes are drawn from a seed; request ids come from names. So building the same world twice gives one world.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from apportion.api.allocation.v1 import masters_pb2, subscriptions_pb2
from apportion.api.common.v1 import money_pb2
from apportion.api.fees.v1 import terms_pb2
from apportion.api.platform_groups.v1 import accounts_pb2, platform_groups_pb2, trading_servers_pb2
from apportion.api.risk.v1 import limits_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.mt5_simulator.process import SimulatorProcess
from apportion.rpc import from_timestamp
from apportion.runtime import SystemClock

CURRENCY = "USD"
HEDGE_GROUP = "demo\\forex-hedge-usd"
WALLET_GROUP = "demo\\wallets-usd"
LEVERAGE = 100
TRADE_FEE_MINOR = 500
DAILY_LIMIT_PERCENT_E8 = 5 * 10**8
E8 = 100_000_000
SEEN_SECONDS = 120.0
POLL_SECONDS = 0.1

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Style:
    """A demo master before it exists. `deposit_minor` 0: the sum of its followers' deposits (a pooled account)."""

    key: str
    name: str
    account_type: masters_pb2.AccountType.ValueType
    method: masters_pb2.AllocationMethod.ValueType
    deposit_minor: int


STYLES = (
    Style(
        "copy", "Harbour Copy", masters_pb2.ACCOUNT_TYPE_COPY, masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY, 1_000_000
    ),
    Style(
        "multiplier",
        "Lighthouse Multiplier",
        masters_pb2.ACCOUNT_TYPE_MAM,
        masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
        1_000_000,
    ),
    Style("pooled", "Breakwater Pool", masters_pb2.ACCOUNT_TYPE_MAM, masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY, 0),
)


@dataclass(frozen=True)
class DemoMaster:
    style: Style
    master_id: int
    account_id: int
    login: int
    wallet_account_id: int
    wallet_login: int


@dataclass(frozen=True)
class Follower:
    key: str
    subscription_id: int
    account_id: int
    login: int
    wallet_account_id: int
    wallet_login: int
    deposit_minor: int


@dataclass(frozen=True)
class World:
    trading_server_id: int
    masters: dict[str, DemoMaster]
    # By the key of their master.
    followers: dict[str, list[Follower]]

    @property
    def accounts(self) -> list[DemoMaster | Follower]:
        return [*self.masters.values(), *(follower for group in self.followers.values() for follower in group)]


async def build_world(
    clients: Clients,
    simulator: SimulatorProcess,
    investor_count: int,
    seed: int,
    at_once: int,
    progress: Callable[[str], None],
) -> World:
    """Create everything through the services' own RPCs, as an operator would, `at_once` investors at a time."""
    progress("trading server and groups")
    server_id = await register_server(clients, simulator)
    wallets = await create_group(clients, server_id, "Wallets USD", WALLET_GROUP)
    hedge = await create_group(clients, server_id, "Forex hedge USD", HEDGE_GROUP)
    builder = _Builder(clients, wallets, hedge, random.Random(seed))  # noqa: S311
    masters: dict[str, DemoMaster] = {}
    followers: dict[str, list[Follower]] = {}
    per_master = investor_count // len(STYLES)
    for style in STYLES:
        progress(f"{style.name}: {per_master} investors")
        deposits = [builder.draw_deposit() for _ in range(per_master)]
        master = await builder.create_master(style, style.deposit_minor or sum(deposits))
        masters[style.key] = master
        followers[style.key] = await _each(enumerate(deposits, 1), partial(builder.create_follower, master), at_once)
    await _seen(clients, masters.values())
    return World(server_id, masters, followers)


@dataclass
class _Builder:
    clients: Clients
    wallet_group_id: int
    hedge_group_id: int
    chance: random.Random

    def draw_deposit(self) -> int:
        """USD 500 to 50 000, small accounts more often than big ones."""
        return int(50_000 * 10 ** (2 * self.chance.random()))

    async def create_master(self, style: Style, deposit_minor: int) -> DemoMaster:
        wallet = await self._account(f"manager/{style.key}", accounts_pb2.ACCOUNT_KIND_WALLET, 0, 0)
        account = await self._account(
            f"master/{style.key}", accounts_pb2.ACCOUNT_KIND_MASTER, wallet.account_id, deposit_minor
        )
        request = masters_pb2.CreateMasterRequest(
            request_id=request_id("master", style.key),
            name=style.name,
            account_type=style.account_type,
            account_id=account.account_id,
            method=style.method,
        )
        answer = await self.clients.call(self.clients.masters.CreateMaster, request)
        limit = limits_pb2.SetDailyLimitRequest(
            request_id=request_id("limit", style.key),
            master_id=answer.master.master_id,
            limit_percent_e8=DAILY_LIMIT_PERCENT_E8,
        )
        await self.clients.call(self.clients.limits.SetDailyLimit, limit)
        return DemoMaster(
            style, answer.master.master_id, account.account_id, account.login, wallet.account_id, wallet.login
        )

    async def create_follower(self, master: DemoMaster, numbered_deposit: tuple[int, int]) -> Follower:
        number, deposit_minor = numbered_deposit
        key = f"{master.style.key}/{number}"
        wallet = await self._account(f"investor/{key}", accounts_pb2.ACCOUNT_KIND_WALLET, 0, 0)
        account = await self._account(
            f"investment/{key}", accounts_pb2.ACCOUNT_KIND_INVESTMENT, wallet.account_id, deposit_minor
        )
        request = subscriptions_pb2.CreateSubscriptionRequest(
            request_id=request_id("subscription", key),
            master_id=master.master_id,
            account_id=account.account_id,
            ratio_e8=ratio_e8(master.style, deposit_minor),
        )
        subscription = (await self.clients.call(self.clients.subscriptions.CreateSubscription, request)).subscription
        fee = money_pb2.Money(currency_code=CURRENCY, amount_minor=TRADE_FEE_MINOR)
        terms = terms_pb2.SetTermsRequest(
            request_id=request_id("terms", key), subscription_id=subscription.subscription_id, trade_fee_per_lot=fee
        )
        await self.clients.call(self.clients.terms.SetTerms, terms)
        return Follower(
            key,
            subscription.subscription_id,
            account.account_id,
            account.login,
            wallet.account_id,
            wallet.login,
            deposit_minor,
        )

    async def _account(
        self, key: str, kind: accounts_pb2.AccountKind.ValueType, wallet_id: int, deposit_minor: int
    ) -> accounts_pb2.Account:
        wallet = kind == accounts_pb2.ACCOUNT_KIND_WALLET
        request = accounts_pb2.CreateAccountRequest(
            request_id=request_id("account", key),
            platform_group_id=self.wallet_group_id if wallet else self.hedge_group_id,
            kind=kind,
            holder_name=key,
            wallet_account_id=wallet_id,
            initial_balance_minor=deposit_minor,
        )
        answer: accounts_pb2.CreateAccountResponse = await self.clients.call(
            self.clients.accounts.CreateAccount, request
        )
        return answer.account


def ratio_e8(style: Style, deposit_minor: int) -> int:
    """A multiplier that fits the investor's size; 1 for the other methods."""
    if style.method != masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER:
        return E8
    return max(deposit_minor * E8 // 1_000_000, E8 // 20)


async def register_server(clients: Clients, simulator: SimulatorProcess) -> int:
    address = urlsplit(simulator.https_url)
    request = trading_servers_pb2.RegisterTradingServerRequest(
        request_id=request_id("server"),
        name="Simulated MT5",
        type=trading_servers_pb2.TRADING_SERVER_TYPE_MT5,
        kind=trading_servers_pb2.TRADING_SERVER_KIND_DEMO,
        host=address.hostname or "",
        port=address.port or 0,
        time_zone="Europe/Helsinki",
        manager_login=simulator.manager_login,
        manager_password=simulator.manager_password,
        ca_certificate_pem=Path(simulator.ca_file).read_text(encoding="utf-8"),
        region="EU",
    )
    answer = await clients.call(clients.servers.RegisterTradingServer, request)
    return int(answer.trading_server.trading_server_id)


async def create_group(clients: Clients, server_id: int, name: str, server_group: str) -> int:
    request = platform_groups_pb2.CreatePlatformGroupRequest(
        request_id=request_id("group", server_group),
        trading_server_id=server_id,
        name=name,
        server_group=server_group,
        currency_code=CURRENCY,
        default_leverage=LEVERAGE,
        weight=1,
    )
    answer = await clients.call(clients.groups.CreatePlatformGroup, request)
    return int(answer.platform_group.platform_group_id)


async def _seen(clients: Clients, masters: Iterable[DemoMaster]) -> None:
    """Waits until allocation has seen every account as it is now: who just got his deposit has a share by equity."""
    clock = SystemClock()
    built_time, give_up_at = clock.now(), clock.monotonic() + SEEN_SECONDS
    for master in masters:
        request = masters_pb2.GetMasterSummaryRequest(master_id=master.master_id)
        while True:
            summary = await clients.call(clients.masters.GetMasterSummary, request)
            is_stale = masters_pb2.SUMMARY_WARNING_STALE_STATES in summary.warnings
            if not summary.active_count or (
                not is_stale and from_timestamp(summary.observed_time, "observed_time") > built_time
            ):
                break
            if clock.monotonic() > give_up_at:
                raise TimeoutError(f"the followers of {master.style.name} were not seen for {SEEN_SECONDS} s")
            await asyncio.sleep(POLL_SECONDS)


async def _each(items: Iterable[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], at_once: int) -> list[ResultT]:
    """All results in order, at most `at_once` under way."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: ItemT) -> ResultT:
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
