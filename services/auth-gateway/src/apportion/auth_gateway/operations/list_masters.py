"""masters.list: the leaderboard, or the user's own masters."""

from __future__ import annotations

from apportion.auth_gateway.domain.reads import Master, Page, PageRequest
from apportion.auth_gateway.domain.tokens import Identity
from apportion.auth_gateway.operations.ports import Masters


async def list_masters(masters: Masters, user: Identity, page: PageRequest, *, own: bool) -> Page[Master]:
    """Raises PageTokenInvalid, UNAVAILABLE reasons."""
    if own:
        return await masters.list_own(user.label, user.wallet_account_id, page)
    return await masters.list_leaderboard(user.label, page)
