"""What the services say and what the trading server shows, read once and put side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apportion.api.allocation.v1 import allocations_pb2
from apportion.api.fees.v1 import calculations_pb2
from apportion.api.platform_groups.v1 import accounts_pb2, transfers_pb2
from apportion.devstack.clients import Clients
from apportion.devstack.world import World
from apportion.mt5_simulator.process import SimulatorProcess

Json = dict[str, Any]
BALANCE_DEAL = "2"
ENTRY_IN = "0"
ENTRY_OUT = "1"


@dataclass(frozen=True)
class ServerBook:
    """One account as the trading server has it."""

    account: Json
    positions: list[Json]
    deals: list[Json]

    @property
    def balance_minor(self) -> int:
        return minor(self.account["Balance"])

    @property
    def equity_minor(self) -> int:
        return minor(self.account["Equity"])

    @property
    def trades(self) -> list[Json]:
        """Deals that bought or sold."""
        return [deal for deal in self.deals if deal["Action"] in {"0", "1"}]

    def closed_volume_e8(self) -> int:
        return sum(int(deal["VolumeExt"]) for deal in self.trades if deal["Entry"] == ENTRY_OUT)


@dataclass(frozen=True)
class Ledger:
    allocations: dict[str, list[allocations_pb2.Allocation]]
    children: dict[str, list[allocations_pb2.ChildTrade]]
    calculations: list[calculations_pb2.Calculation]
    transfers: list[transfers_pb2.Transfer]
    accounts: dict[int, accounts_pb2.Account]
    # By login, wallets too.
    server: dict[int, ServerBook]


def minor(text: str) -> int:
    """A USD amount as the server prints it, in cents."""
    return int(Decimal(text) * 100)


async def read_server(simulator: SimulatorProcess, logins: Iterable[int]) -> dict[int, ServerBook]:
    async def one(login: int) -> tuple[int, ServerBook]:
        account, positions, deals = await asyncio.gather(
            simulator.admin.account(login), simulator.admin.positions(login), simulator.admin.deals(login)
        )
        return login, ServerBook(account, positions, deals)

    return dict([await one(login) for login in logins])


async def read_ledger(world: World, clients: Clients, simulator: SimulatorProcess) -> Ledger:
    """Everything about the demo's broker, from all services and from the server."""
    allocations: dict[str, list[allocations_pb2.Allocation]] = {}
    children: dict[str, list[allocations_pb2.ChildTrade]] = {}
    for key, master in world.masters.items():
        listing = allocations_pb2.ListAllocationsRequest(master_id=master.master_id)
        allocations[key] = [
            allocation
            async for page in clients.pages(clients.allocations.ListAllocations, listing)
            for allocation in page.allocations
        ]
        child_listing = allocations_pb2.ListChildTradesRequest(master_id=master.master_id)
        children[key] = [
            child
            async for page in clients.pages(clients.allocations.ListChildTrades, child_listing)
            for child in page.child_trades
        ]
    accounts = {account.account_id: account async for account in _accounts(clients)}
    return Ledger(
        allocations,
        children,
        [
            calculation
            async for page in clients.pages(
                clients.calculations.ListCalculations, calculations_pb2.ListCalculationsRequest()
            )
            for calculation in page.calculations
        ],
        [
            transfer
            async for page in clients.pages(clients.transfers.ListTransfers, transfers_pb2.ListTransfersRequest())
            for transfer in page.transfers
        ],
        accounts,
        await read_server(simulator, sorted(account.login for account in accounts.values())),
    )


async def _accounts(clients: Clients) -> Any:
    async for page in clients.pages(clients.accounts.ListAccounts, accounts_pb2.ListAccountsRequest()):
        for account in page.accounts:
            yield account
