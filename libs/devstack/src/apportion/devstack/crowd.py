"""A broker with masters of every method and many investors: the world of a random day, drawn from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from apportion.api.allocation.v1 import masters_pb2, subscriptions_pb2
from apportion.api.platform_groups.v1 import accounts_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.devstack.day import FAILURES
from apportion.devstack.random_terms import LINEUP, NETTING_GROUP, Parameters, Terms, draw_parameters, draw_settings
from apportion.devstack.world import HEDGE_GROUP, WALLET_GROUP, create_group, register_server
from apportion.errors import DomainError
from apportion.mt5_simulator.process import SimulatorProcess

AT_ONCE = 16
INSIST_SECONDS = 60.0
PAUSE_SECONDS = 0.5
IGNORES_STOPS = 0.3
"""How many investors do not copy stops."""
NETS = 0.2
"""How many investors have a netting account. They copy no stops."""


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
    nets: bool = False
    """One position a symbol, whatever its children are."""


@dataclass
class CrowdMaster:
    terms: Terms
    master_id: int
    account_id: int
    login: int
    links: dict[int, Link] = field(default_factory=dict)
    """By subscription, with those that have ended."""
    is_halted: bool = False

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


async def insist(clients: Clients, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
    """As an operator repeats what failed on the way: the same request id, the same effect."""
    give_up = asyncio.get_running_loop().time() + INSIST_SECONDS
    while True:
        try:
            return await clients.call(method, request)
        except FAILURES as failure:
            is_refused = isinstance(failure, DomainError) and not failure.kind.is_transient
            if is_refused or asyncio.get_running_loop().time() > give_up:
                raise
            await asyncio.sleep(PAUSE_SECONDS)


async def subscribe(
    clients: Clients,
    master: CrowdMaster,
    account_id: int,
    login: int,
    key: str,
    parameters: Parameters,
    settings: subscriptions_pb2.CopySettings,
) -> Link:
    """A new subscription; the key makes it the same one when it is asked for again."""
    request = subscriptions_pb2.CreateSubscriptionRequest(
        request_id=request_id("subscription", key),
        master_id=master.master_id,
        account_id=account_id,
        settings=settings,
        **parameters,
    )
    answer = await insist(clients, clients.subscriptions.CreateSubscription, request)
    return Link(answer.subscription.subscription_id, account_id, login, **parameters, settings=settings)


async def build_crowd(
    clients: Clients, simulator: SimulatorProcess, *, master_count: int, investor_count: int, seed: int
) -> Crowd:
    """Everything through the services' own RPCs. An investor's accounts share a wallet by tens."""
    server_id = await register_server(clients, simulator)
    wallets = await create_group(clients, server_id, "Wallets USD", WALLET_GROUP)
    names = sorted({HEDGE_GROUP, *(terms.group for terms in LINEUP)})
    groups = {name: await create_group(clients, server_id, name.rpartition("\\")[2], name) for name in names}
    builder = _Builder(clients, wallets, groups, asyncio.Semaphore(AT_ONCE))
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
            nets = chance.random() < NETS and not master.terms.distributes
            ignores_stops = nets or chance.random() < IGNORES_STOPS
            drawn.append(
                partial(
                    builder.follower,
                    master,
                    f"{number}/{n}",
                    holders[n // 10],
                    deposit_minor,
                    draw_parameters(chance, master.terms, per_master),
                    draw_settings(chance, master.terms, ignores_stops=ignores_stops),
                    nets,
                )
            )
        links = await asyncio.gather(*(make() for make in drawn))
        master.links = {link.subscription_id: link for link in links}
    return Crowd(seed, list(masters))


@dataclass
class _Builder:
    clients: Clients
    wallet_group_id: int
    group_ids: dict[str, int]
    gate: asyncio.Semaphore

    async def master(self, number: int, terms: Terms) -> CrowdMaster:
        wallet_id = await self.wallet(f"manager/{number}")
        kind = accounts_pb2.ACCOUNT_KIND_MASTER
        group_id = self.group_ids[terms.group]
        account = await self._account(f"master/{number}", kind, group_id, wallet_id, terms.deposit_minor)
        request = masters_pb2.CreateMasterRequest(
            request_id=request_id("master", number),
            name=f"{number + 1} {terms.name}",
            account_type=terms.account_type,
            account_id=account.account_id,
            method=terms.method,
            rounding=terms.rounding,
            allocation_mode=terms.mode,
            residual_rule=terms.residual_rule,
        )
        async with self.gate:
            answer = await insist(self.clients, self.clients.masters.CreateMaster, request)
        return CrowdMaster(terms, answer.master.master_id, account.account_id, account.login)

    async def wallet(self, key: str) -> int:
        kind = accounts_pb2.ACCOUNT_KIND_WALLET
        account = await self._account(f"wallet/{key}", kind, self.wallet_group_id, 0, 0)
        return account.account_id

    async def follower(
        self,
        master: CrowdMaster,
        key: str,
        wallet_id: int,
        deposit_minor: int,
        parameters: Parameters,
        settings: subscriptions_pb2.CopySettings,
        nets: bool,
    ) -> Link:
        kind = accounts_pb2.ACCOUNT_KIND_INVESTMENT
        group_id = self.group_ids[NETTING_GROUP if nets else HEDGE_GROUP]
        account = await self._account(f"investment/{key}", kind, group_id, wallet_id, deposit_minor)
        async with self.gate:
            link = await subscribe(self.clients, master, account.account_id, account.login, key, parameters, settings)
        return replace(link, nets=nets)

    async def _account(
        self, key: str, kind: accounts_pb2.AccountKind.ValueType, group_id: int, wallet_id: int, deposit_minor: int
    ) -> accounts_pb2.Account:
        request = accounts_pb2.CreateAccountRequest(
            request_id=request_id("account", key),
            platform_group_id=group_id,
            kind=kind,
            holder_name=key,
            wallet_account_id=wallet_id,
            initial_balance_minor=deposit_minor,
        )
        give_up = asyncio.get_running_loop().time() + INSIST_SECONDS
        while True:
            async with self.gate:
                answer = await insist(self.clients, self.clients.accounts.CreateAccount, request)
            made: accounts_pb2.Account = answer.account
            if made.state == accounts_pb2.ACCOUNT_STATE_OPEN:
                return made
            if asyncio.get_running_loop().time() > give_up:
                raise TimeoutError(f"account {made.account_id} was not opened")
            await asyncio.sleep(PAUSE_SECONDS)  # the server's answer was lost: its account will be found
