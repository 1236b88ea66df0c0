"""What this service asks of others."""

from __future__ import annotations

from typing import Protocol

from apportion.fees.domain.terms import Currency, Parties


class Subscriptions(Protocol):
    """allocation."""

    async def parties(self, label: int, subscription_id: int) -> Parties:
        """Who pays and who is paid. Raises NotFound, or the error of the call."""
        ...


class Wallets(Protocol):
    """platform-groups."""

    async def currency(self, label: int, account_id: int) -> Currency:
        """Raises NotFound, or the error of the call."""
        ...
