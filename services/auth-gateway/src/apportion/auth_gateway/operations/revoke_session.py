"""session.revoke: sign out, here or everywhere."""

from __future__ import annotations

from apportion.auth_gateway.domain.tokens import Session
from apportion.auth_gateway.operations.exchange_token import SessionDesk


async def revoke_session(desk: SessionDesk, session: Session, *, everywhere: bool) -> None:
    """End this session, or all sessions of its user. Raises RedisUnavailable."""
    if everywhere:
        now_ms = int(desk.clock.now().timestamp() * 1000)
        await desk.sessions.revoke(now_ms, session.identity.label, session.identity.login)
    await desk.sessions.close(session.digest)
