"""Every protected call: whose session is this."""

from __future__ import annotations

from apportion.auth_gateway.domain.tokens import Session, digest_of, is_session_key
from apportion.auth_gateway.errors import RateLimited, SessionRequired
from apportion.auth_gateway.operations.exchange_token import SessionDesk


async def open_session(desk: SessionDesk, key: str | None) -> Session:
    """The session, kept alive by this. Raises SessionRequired, RateLimited, UNAVAILABLE reasons."""
    if key is None or not is_session_key(key):
        raise SessionRequired
    brokers = desk.directory.fresh() or await desk.directory.current()
    now_ms = int(desk.clock.now().timestamp() * 1000)
    found = await desk.sessions.open(digest_of(key), now_ms, desk.calls_per_minute)
    if found is None:
        raise SessionRequired
    if isinstance(found, int):
        raise RateLimited(retry_after_seconds=found / 1000)
    broker = brokers.by_label.get(found.identity.label)
    if broker is None or not broker.active:
        raise SessionRequired
    return found
