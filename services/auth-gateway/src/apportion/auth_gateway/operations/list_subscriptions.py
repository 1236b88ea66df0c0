"""subscriptions.list: the subscriptions of the user's own investment accounts."""

from __future__ import annotations

from apportion.auth_gateway.domain.reads import Page, PageRequest, Subscription
from apportion.auth_gateway.domain.tokens import Identity
from apportion.auth_gateway.operations.ports import Masters


async def list_subscriptions(masters: Masters, user: Identity, page: PageRequest) -> Page[Subscription]:
    """Raises PageTokenInvalid, UNAVAILABLE reasons."""
    return await masters.list_subscriptions(user.label, user.wallet_account_id, page)
