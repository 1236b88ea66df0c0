"""Netting accounts begin with nothing open: their deals do not tell what was there before."""

from __future__ import annotations

from apportion.allocation.domain.accounts import Account
from apportion.allocation.errors import NettingPositionsOpen
from apportion.allocation.operations.ports import Positions


async def require_flat(positions: Positions, label: int, account: Account) -> None:
    """Asks the trading server. Raises NettingPositionsOpen, and the DomainError of platform-groups."""
    report = await positions.report(label, [account.account_id])
    if report.position_tickets.size:
        raise NettingPositionsOpen(account_id=account.account_id, symbols=",".join(report.symbols))
