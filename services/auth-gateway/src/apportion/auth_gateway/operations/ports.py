"""What the gateway needs of other services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from apportion.auth_gateway.domain.reads import Account, Master, Page, PageRequest, Subscription

RandomBytes = Callable[[int], bytes]


class Accounts(Protocol):
    """platform-groups. Raises UpstreamUnavailable, DeadlineExceeded."""

    async def find_open_wallet(self, label: int, login: int) -> int | None:
        """The account id of the label's OPEN wallet with this login; None when there is none."""
        ...

    async def get_account(self, label: int, account_id: int) -> Account:
        """Raises NotFound."""
        ...


class Masters(Protocol):
    """allocation. Raises UpstreamUnavailable, DeadlineExceeded, PageTokenInvalid."""

    async def list_leaderboard(self, label: int, page: PageRequest) -> Page[Master]:
        """Masters that anybody of the label may see."""
        ...

    async def list_own(self, label: int, wallet_account_id: int, page: PageRequest) -> Page[Master]:
        """Masters whose account belongs to this wallet."""
        ...

    async def list_subscriptions(self, label: int, wallet_account_id: int, page: PageRequest) -> Page[Subscription]:
        """Subscriptions of this wallet's investment accounts."""
        ...


class Wallets(Protocol):
    """The wallet check with a short memory, in front of Accounts.find_open_wallet."""

    def remembered(self, label: int, login: int) -> int | None:
        """The wallet's account id if it was found open a moment ago."""
        ...

    async def find(self, label: int, login: int) -> int | None:
        """The wallet's account id, asked of platform-groups when nothing is remembered."""
        ...
