"""A broker with masters of every method and many investors: the world of a random day, drawn from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypedDict

from apportion.api.allocation.v1 import masters_pb2, subscriptions_pb2
from apportion.api.platform_groups.v1 import accounts_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.devstack.day import FAILURES
from apportion.devstack.world import E8, HEDGE_GROUP, WALLET_GROUP, create_group, register_server
from apportion.mt5_simulator.process import SimulatorProcess

MASTER_DEPOSIT_MINOR = 50_000_000
AT_ONCE = 16
TRIES = 5
PAUSE_SECONDS = 0.5
UNKNOWN_SYMBOL = "EURUSD.nowhere"

Method = masters_pb2.AllocationMethod
Rounding = masters_pb2.RoundingPolicy


@dataclass(frozen=True)
class Terms:
    """By what a master's trades are apportioned."""

    method: Method.ValueType
    rounding: Rounding.ValueType
    account_type: masters_pb2.AccountType.ValueType = masters_pb2.ACCOUNT_TYPE_MAM
    reverses: bool = False
    """Some of his followers do the opposite."""

    @property
    def name(self) -> str:
        method = Method.Name(self.method).removeprefix("ALLOCATION_METHOD_")
        rounding = Rounding.Name(self.rounding).removeprefix("ROUNDING_POLICY_")
        return f"{method} {rounding} {masters_pb2.AccountType.Name(self.account_type).removeprefix('ACCOUNT_TYPE_')}"


COPY = masters_pb2.ACCOUNT_TYPE_COPY
LINEUP = (
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT, masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_BALANCE, masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST, reverses=True),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUAL_RISK, masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_BALANCE, masters_pb2.ROUNDING_POLICY_DOWN),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY, masters_pb2.ROUNDING_POLICY_NEAREST, COPY, reverses=True),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_FREE_MARGIN, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_FIXED_LOT, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER, masters_pb2.ROUNDING_POLICY_CARRY, reverses=True),
    Terms(masters_pb2.ALLOCATION_METHOD_RISK, masters_pb2.ROUNDING_POLICY_DOWN),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUITY_SHARE, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT, masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY, masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUAL_RISK, masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY, masters_pb2.ROUNDING_POLICY_CARRY, COPY),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT, masters_pb2.ROUNDING_POLICY_CARRY),
)
"""Every method first, then some again with other policies."""

DIVIDING = {
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT,
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT,
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_BALANCE,
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY,
    masters_pb2.ALLOCATION_METHOD_EQUAL_RISK,
}


class Parameters(TypedDict):
    """By what a method computes the volume of one subscription."""

    ratio_e8: int
    lot_e8: int
    percent_e8: int
    lot_mode: subscriptions_pb2.LotMode.ValueType


@dataclass(frozen=True)
class Link:
    """A subscription as the operator last set it. A change makes a new one, so that a decision's stays as it was."""

    subscription_id: int
    account_id: int
    login: int
    ratio_e8: int
    lot_e8: int
    percent_e8: int
    lot_mode: subscriptions_pb2.LotMode.ValueType
    settings: subscriptions_pb2.CopySettings
    active: bool = True
    left: subscriptions_pb2.LeavePolicy.ValueType = subscriptions_pb2.LEAVE_POLICY_UNSPECIFIED
    """How it has ended; UNSPECIFIED: it has not."""


@dataclass
class CrowdMaster:
    terms: Terms
    master_id: int
    account_id: int
    login: int
    links: dict[int, Link] = field(default_factory=dict)
    """By subscription, with those that have ended."""

    @property
    def followers(self) -> list[Link]:
        """Of now, in login order."""
        return sorted((link for link in self.links.values() if not link.left), key=lambda link: link.login)


@dataclass
class Crowd:
    seed: int
    masters: list[CrowdMaster]

    @property
    def links(self) -> list[Link]:
        return [link for master in self.masters for link in master.links.values()]


def draw_parameters(chance: random.Random, terms: Terms, follower_count: int) -> Parameters:
    """Ratio, lot, percent and mode such as a broker would set for an account of USD 5 000 to 50 000."""
    ratio, lot, percent = E8, 0, 0
    mode: subscriptions_pb2.LotMode.ValueType = subscriptions_pb2.LOT_MODE_MULTIPLIER
    match terms.method:
        case masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER:
            ratio = chance.randrange(E8 // 100, E8 // 5)
        case masters_pb2.ALLOCATION_METHOD_COPY_BY_BALANCE | masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY:
            ratio = chance.randrange(E8 // 10, 2 * E8)
        case masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT:
            lot = chance.randrange(0, 5) * chance.randrange(E8)
        case masters_pb2.ALLOCATION_METHOD_FIXED_LOT:
            lot = chance.randrange(E8 // 10)
        case masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT:
            percent = chance.randrange(100 * E8 // (2 * follower_count), 100 * E8 // follower_count)
        case masters_pb2.ALLOCATION_METHOD_EQUAL_RISK:
            percent = chance.choice([0, 0, 0, 200 * E8, 5_000 * E8])
        case masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT:
            percent = chance.randrange(E8, 8 * E8)
        case masters_pb2.ALLOCATION_METHOD_RISK:
            percent = chance.randrange(20 * E8, 200 * E8)
        case masters_pb2.ALLOCATION_METHOD_EQUITY_SHARE:
            percent = chance.randrange(E8 // 20_000, E8 // 2_000)
        case masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER:
            mode = chance.choice(
                [
                    subscriptions_pb2.LOT_MODE_MULTIPLIER,
                    subscriptions_pb2.LOT_MODE_FIXED,
                    subscriptions_pb2.LOT_MODE_RISK,
                    subscriptions_pb2.LOT_MODE_EQUITY,
                ]
            )
            lot = chance.randrange(E8 // 10)
            equity = mode == subscriptions_pb2.LOT_MODE_EQUITY
            percent = chance.randrange(E8 // 20_000, E8 // 2_000) if equity else chance.randrange(20 * E8, 200 * E8)
    return {"ratio_e8": ratio, "lot_e8": lot, "percent_e8": percent, "lot_mode": mode}


def draw_settings(chance: random.Random, terms: Terms) -> subscriptions_pb2.CopySettings:
    """Most follow plainly; the others filter, map, limit or reverse."""
    settings = subscriptions_pb2.CopySettings(
        reverse=terms.reverses and chance.random() < 0.3,
        leave_policy=chance.choice(
            [subscriptions_pb2.LEAVE_POLICY_CLOSE, subscriptions_pb2.LEAVE_POLICY_CLOSE_WITH_MASTER]
        ),
    )
    kinds = ["direction", "deny", "allow", "map", "nowhere", "lot"]
    if terms.method not in DIVIDING:
        # What one may not have is another's there, and how much is held is not told with the decision.
        kinds += ["total", "count", "round_up"]
    kind = chance.choice(kinds) if chance.random() < 0.4 else ""
    if kind == "direction":
        settings.direction_filter = chance.choice(
            [subscriptions_pb2.DIRECTION_FILTER_BUY_ONLY, subscriptions_pb2.DIRECTION_FILTER_SELL_ONLY]
        )
    elif kind == "deny":
        settings.denied_symbols.append(chance.choice(["EURUSD", "GBPUSD"]))
    elif kind == "allow":
        settings.allowed_symbols.extend(chance.sample(["AUDUSD", "EURUSD", "GBPUSD"], 2))
    elif kind == "map":
        settings.symbol_map["EURUSD"] = "AUDUSD"
    elif kind == "nowhere":
        settings.symbol_map["EURUSD"] = UNKNOWN_SYMBOL
    elif kind == "lot":
        settings.max_lot_e8 = chance.randrange(1, 15) * E8 // 100
    elif kind == "total":
        settings.max_total_lot_e8 = chance.randrange(5, 30) * E8 // 100
    elif kind == "count":
        settings.max_open_positions = chance.randrange(1, 3)
    elif kind == "round_up":
        settings.round_up_to_min = True
    return settings


async def insist(clients: Clients, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
    """As an operator repeats what failed on the way: the same request id, the same effect."""
    for _ in range(TRIES):
        try:
            return await clients.call(method, request)
        except FAILURES:
            await asyncio.sleep(PAUSE_SECONDS)
    return await clients.call(method, request)


async def build_crowd(
    clients: Clients, simulator: SimulatorProcess, *, master_count: int, investor_count: int, seed: int
) -> Crowd:
    """Everything through the services' own RPCs. An investor's accounts share a wallet by tens."""
    server_id = await register_server(clients, simulator)
    wallets = await create_group(clients, server_id, "Wallets USD", WALLET_GROUP)
    hedge = await create_group(clients, server_id, "Forex hedge USD", HEDGE_GROUP)
    builder = _Builder(clients, wallets, hedge, asyncio.Semaphore(AT_ONCE))
    chance = random.Random(seed)  # noqa: S311
    per_master = investor_count // master_count
    masters = await asyncio.gather(
        *(builder.master(number, terms) for number, terms in enumerate(LINEUP[:master_count]))
    )
    for number, master in enumerate(masters):
        wallet_count = -(-per_master // 10)
        holders = await asyncio.gather(*(builder.wallet(f"investor/{number}/{n}") for n in range(wallet_count)))
        drawn = []
        for n in range(per_master):
            deposit_minor = int(500_000 * 10 ** chance.random())
            drawn.append(
                partial(
                    builder.follower,
                    master,
                    f"{number}/{n}",
                    holders[n // 10],
                    deposit_minor,
                    draw_parameters(chance, master.terms, per_master),
                    draw_settings(chance, master.terms),
                )
            )
        links = await asyncio.gather(*(make() for make in drawn))
        master.links = {link.subscription_id: link for link in links}
    return Crowd(seed, list(masters))


@dataclass
class _Builder:
    clients: Clients
    wallet_group_id: int
    hedge_group_id: int
    gate: asyncio.Semaphore

    async def master(self, number: int, terms: Terms) -> CrowdMaster:
        wallet_id = await self.wallet(f"manager/{number}")
        account = await self._account(
            f"master/{number}", accounts_pb2.ACCOUNT_KIND_MASTER, wallet_id, MASTER_DEPOSIT_MINOR
        )
        request = masters_pb2.CreateMasterRequest(
            request_id=request_id("master", number),
            name=f"{number + 1} {terms.name}",
            account_type=terms.account_type,
            account_id=account.account_id,
            method=terms.method,
            rounding=terms.rounding,
        )
        answer = await self._call(self.clients.masters.CreateMaster, request)
        return CrowdMaster(terms, answer.master.master_id, account.account_id, account.login)

    async def wallet(self, key: str) -> int:
        account = await self._account(f"wallet/{key}", accounts_pb2.ACCOUNT_KIND_WALLET, 0, 0)
        return account.account_id

    async def follower(
        self,
        master: CrowdMaster,
        key: str,
        wallet_id: int,
        deposit_minor: int,
        parameters: Parameters,
        settings: subscriptions_pb2.CopySettings,
    ) -> Link:
        account = await self._account(
            f"investment/{key}", accounts_pb2.ACCOUNT_KIND_INVESTMENT, wallet_id, deposit_minor
        )
        request = subscriptions_pb2.CreateSubscriptionRequest(
            request_id=request_id("subscription", key),
            master_id=master.master_id,
            account_id=account.account_id,
            settings=settings,
            **parameters,
        )
        answer = await self._call(self.clients.subscriptions.CreateSubscription, request)
        made: int = answer.subscription.subscription_id
        return Link(made, account.account_id, account.login, **parameters, settings=settings)

    async def _account(
        self, key: str, kind: accounts_pb2.AccountKind.ValueType, wallet_id: int, deposit_minor: int
    ) -> accounts_pb2.Account:
        is_wallet = kind == accounts_pb2.ACCOUNT_KIND_WALLET
        request = accounts_pb2.CreateAccountRequest(
            request_id=request_id("account", key),
            platform_group_id=self.wallet_group_id if is_wallet else self.hedge_group_id,
            kind=kind,
            holder_name=key,
            wallet_account_id=wallet_id,
            initial_balance_minor=deposit_minor,
        )
        answer = await self._call(self.clients.accounts.CreateAccount, request)
        made: accounts_pb2.Account = answer.account
        return made

    async def _call(self, method: Callable[..., Awaitable[Any]], request: object) -> Any:
        async with self.gate:
            return await insist(self.clients, method, request)
