"""session.exchange: a token, once, for a session."""

from __future__ import annotations

from dataclasses import dataclass

from apportion.auth_gateway.domain.addresses import quota_network
from apportion.auth_gateway.domain.tokens import SESSION_BYTES, Session, digest_of, is_token
from apportion.auth_gateway.errors import RateLimited, TokenInvalid
from apportion.auth_gateway.operations.ports import RandomBytes
from apportion.auth_gateway.storage.admissions import Admissions
from apportion.auth_gateway.storage.broker_directory import BrokerDirectory
from apportion.auth_gateway.storage.sessions import Sessions
from apportion.auth_gateway.storage.tokens import Tokens
from apportion.runtime import Clock


@dataclass(frozen=True, slots=True)
class Exchange:
    """Who presents the token: the page's origin and the label it claims to serve, each if it said so."""

    token: str
    origin: str | None
    label: int | None
    address: str


@dataclass(frozen=True, slots=True)
class SessionDesk:
    """What sessions need. Exchanges are counted by network, calls by user."""

    clock: Clock
    random: RandomBytes
    directory: BrokerDirectory
    admissions: Admissions
    tokens: Tokens
    sessions: Sessions
    exchanges_per_minute: int
    calls_per_minute: int


async def exchange_token(desk: SessionDesk, exchange: Exchange) -> tuple[str, Session]:
    """The session key, told this once, and its session. Raises TokenInvalid, RateLimited, UNAVAILABLE reasons.

    A token that was exchanged before also closes the session it had opened: one of the two users stole it.
    """
    if not is_token(exchange.token):
        raise TokenInvalid
    scope = f"exchange:{quota_network(exchange.address)}"
    if wait_ms := await desk.admissions.count(scope, desk.exchanges_per_minute):
        raise RateLimited(retry_after_seconds=wait_ms / 1000)
    brokers = desk.directory.fresh() or await desk.directory.current()
    labels = None if exchange.label is None else frozenset({exchange.label})
    if exchange.origin is not None:
        of_origin = brokers.labels_by_origin.get(exchange.origin, frozenset())
        labels = of_origin if labels is None else labels & of_origin
    key = desk.random(SESSION_BYTES).hex()
    now_ms = int(desk.clock.now().timestamp() * 1000)
    session = await desk.tokens.exchange(digest_of(exchange.token), digest_of(key), labels, now_ms)
    if session is None:
        raise TokenInvalid
    broker = brokers.by_label.get(session.identity.label)
    if broker is None or not broker.active:
        await desk.sessions.close(session.digest)
        raise TokenInvalid
    return key, session
