"""The redirect link: where a token leads."""

from __future__ import annotations

from apportion.auth_gateway.domain.addresses import quota_network
from apportion.auth_gateway.domain.areas import sign_in_url
from apportion.auth_gateway.domain.languages import tag_for
from apportion.auth_gateway.domain.tokens import digest_of, is_token
from apportion.auth_gateway.errors import RateLimited, TokenInvalid
from apportion.auth_gateway.operations.exchange_token import SessionDesk


async def follow_link(desk: SessionDesk, token: str, language: str | None, address: str) -> str:
    """The broker's registered area with token and language in place; the token stays unused.

    The target was fixed by la.auth; it is checked again, for an area may have been withdrawn since. Raises
    TokenInvalid, RateLimited, UNAVAILABLE reasons.
    """
    if not is_token(token):
        raise TokenInvalid
    scope = f"link:{quota_network(address)}"
    if wait_ms := await desk.admissions.count(scope, desk.exchanges_per_minute):
        raise RateLimited(retry_after_seconds=wait_ms / 1000)
    brokers = desk.directory.fresh() or await desk.directory.current()
    grant = await desk.tokens.find(digest_of(token), int(desk.clock.now().timestamp() * 1000))
    broker = brokers.by_label.get(grant.identity.label) if grant else None
    if grant is None or broker is None or not broker.active or grant.area not in broker.areas:
        raise TokenInvalid
    return sign_in_url(grant.area, token, tag_for(language, broker.default_language))
