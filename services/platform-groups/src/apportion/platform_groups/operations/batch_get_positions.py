"""Report the open positions of many accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.accounts import Account, check_open, server_of_all
from apportion.platform_groups.domain.server_facts import ServerPosition
from apportion.platform_groups.domain.states import AccountKind, AccountState, MarginMode
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.accounts import find_accounts, load_accounts
from apportion.platform_groups.storage.deals import find_lasting_tickets
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class PositionsReport:
    positions: Sequence[tuple[int, ServerPosition]]
    """(account id, position) sorted by account and ticket."""
    left_account_ids: Sequence[int]
    """Sorted: the accounts that were left out."""


async def batch_get_positions(
    engine: AsyncEngine,
    servers: TradingServersPort,
    label: int,
    account_ids: Sequence[int],
    *,
    leave_out_closed: bool,
) -> PositionsReport:
    """Asked of the server itself: all or an error. Accounts that are unknown or not open may be left out.

    A position of a master's netting account keeps the ticket of its first deals, also after it was turned around.

    Raises NotFound, AccountNotOpen, ServersMixed, TradingServerUnavailable.
    """
    async with transaction(engine) as tx:
        accounts = await (find_accounts if leave_out_closed else load_accounts)(tx, label, account_ids)
    if leave_out_closed:
        accounts = {key: account for key, account in accounts.items() if account.state is AccountState.OPEN}
    left = sorted(set(account_ids) - accounts.keys())
    if not accounts:
        return PositionsReport([], left)
    server_id = server_of_all(accounts.values())
    for account in accounts.values():
        check_open(account)
    account_of = {account.login: account.account_id for account in accounts.values()}
    with server_call(server_id):
        server = await servers.get(server_id)
        found = await server.positions_of_logins(sorted(account_of))
    positions = [(account_of[position.login], position) for position in found]
    positions = await _with_lasting_tickets(engine, server_id, accounts, positions)
    return PositionsReport(sorted(positions, key=lambda row: (row[0], row[1].position_ticket)), left)


async def _with_lasting_tickets(
    engine: AsyncEngine,
    trading_server_id: int,
    accounts: Mapping[int, Account],
    positions: Sequence[tuple[int, ServerPosition]],
) -> list[tuple[int, ServerPosition]]:
    modes = (AccountKind.MASTER, MarginMode.NETTING)
    netting = {key for key, account in accounts.items() if (account.kind, account.margin_mode) == modes}
    netted = [position.position_ticket for account_id, position in positions if account_id in netting]
    if not netted:
        return list(positions)
    async with transaction(engine) as tx:
        lasting = await find_lasting_tickets(tx, trading_server_id, sorted(netting), netted)
    return [
        (account_id, replace(position, position_ticket=lasting.get(position.position_ticket, position.position_ticket)))
        for account_id, position in positions
    ]
