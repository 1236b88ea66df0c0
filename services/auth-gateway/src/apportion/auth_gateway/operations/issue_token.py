"""la.auth: a room proves itself and its user, and gets a one-time token for the user."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from prometheus_client import Counter

from apportion.auth_gateway.domain.addresses import quota_network
from apportion.auth_gateway.domain.areas import sign_in_url
from apportion.auth_gateway.domain.brokers import Broker
from apportion.auth_gateway.domain.languages import tag_for
from apportion.auth_gateway.domain.limits import Attempt
from apportion.auth_gateway.domain.tokens import TOKEN_BYTES, Identity, IssuedToken, TokenGrant, digest_of
from apportion.auth_gateway.errors import InvalidCredentials, LoginMismatch, RateLimited
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.auth_gateway.operations.local_quota import LocalQuota
from apportion.auth_gateway.operations.ports import RandomBytes, Wallets
from apportion.auth_gateway.storage.admissions import Admissions
from apportion.auth_gateway.storage.broker_directory import BrokerDirectory
from apportion.auth_gateway.storage.tokens import Tokens
from apportion.events import RedisUnavailable
from apportion.runtime import Clock

log = structlog.get_logger()

GUESSES = Counter("apportion_gateway_password_guesses_total", "Wrong passwords beyond the free ones of their network.")


class SignIn(NamedTuple):
    """What a room says. `login` is the header's, `wa_login` the parameter's; `address` is where it called from."""

    label: int
    login: int
    wa_login: int
    secret: bytes
    address: str
    language: str | None = None
    return_url: str | None = None


@dataclass(frozen=True, slots=True)
class TokenDesk:
    """What issuing a token needs. A refusal is never faster than `refusal_seconds`, whatever its cause."""

    clock: Clock
    random: RandomBytes
    directory: BrokerDirectory
    passwords: PasswordCheck
    wallets: Wallets
    admissions: Admissions
    tokens: Tokens
    local_quota: LocalQuota
    refusal_seconds: float


async def issue_token(desk: TokenDesk, sign_in: SignIn) -> IssuedToken:
    """Raises InvalidCredentials (always alike), LoginMismatch, RedirectNotAllowed, RateLimited, UNAVAILABLE reasons."""
    started = desk.clock.monotonic()
    try:
        return await _issue(desk, sign_in)
    except InvalidCredentials:
        await asyncio.sleep(max(0.0, started + desk.refusal_seconds - desk.clock.monotonic()))
        raise


async def count_attempt(desk: TokenDesk, label: int, login: int, address: str) -> None:
    """Count an attempt that is refused unchecked. Raises RateLimited, RedisUnavailable."""
    brokers = desk.directory.fresh() or await desk.directory.current()
    attempt = Attempt(label, login, quota_network(address), label in brokers.by_label)
    await _admit(desk, attempt, int(desk.clock.now().timestamp() * 1000))


async def _issue(desk: TokenDesk, sign_in: SignIn) -> IssuedToken:
    """One round trip to Redis when password and wallet are known here; the verdict counts only if it admits."""
    now = desk.clock.now()
    now_ms = int(now.timestamp() * 1000)
    brokers = desk.directory.fresh() or await desk.directory.current()
    broker = brokers.by_label.get(sign_in.label)
    right = desk.passwords.check(broker, sign_in.label, sign_in.secret, now)
    if broker is None or not broker.active or not broker.admits_address(sign_in.address):
        right = False
    attempt = Attempt(sign_in.label, sign_in.login, quota_network(sign_in.address), broker is not None)

    wallet = desk.wallets.remembered(sign_in.label, sign_in.login) if right else None
    ordinary = sign_in.login == sign_in.wa_login and sign_in.return_url is None
    if broker is not None and broker.areas and wallet is not None and ordinary:
        token, grant = _mint(desk, broker, sign_in, wallet, now_ms)
        await _admit(desk, attempt, now_ms, token, grant)
        return _issued(broker, sign_in, token, grant)

    await _admit(desk, attempt, now_ms)
    if right is None and broker is not None:
        right = await desk.passwords.check_slowly(broker, sign_in.secret, now)
    if not right or broker is None:
        await _count_failure(desk, attempt)
        raise InvalidCredentials
    if sign_in.login != sign_in.wa_login:
        raise LoginMismatch
    broker.choose_area(sign_in.return_url)
    wallet = await desk.wallets.find(sign_in.label, sign_in.login)
    if wallet is None:
        raise InvalidCredentials
    token, grant = _mint(desk, broker, sign_in, wallet, now_ms)
    await desk.tokens.store(digest_of(token), grant, now_ms)
    return _issued(broker, sign_in, token, grant)


async def _admit(
    desk: TokenDesk, attempt: Attempt, now_ms: int, token: str = "", grant: TokenGrant | None = None
) -> None:
    try:
        wait_ms = await desk.admissions.admit(attempt, now_ms, token, grant)
    except RedisUnavailable:
        wait_ms = desk.local_quota.admit(attempt, now_ms)
        if not wait_ms:
            raise
    if wait_ms:
        raise RateLimited(retry_after_seconds=wait_ms / 1000)


async def _count_failure(desk: TokenDesk, attempt: Attempt) -> None:
    failures = await desk.admissions.fail(attempt)
    if failures > desk.admissions.limits.free_failures:
        GUESSES.inc()
        log.warning("password_guessing", label=attempt.label, network=attempt.network, failure_count=failures)


def _mint(
    desk: TokenDesk, broker: Broker, sign_in: SignIn, wallet_account_id: int, now_ms: int
) -> tuple[str, TokenGrant]:
    area = broker.choose_area(sign_in.return_url)
    identity = Identity(sign_in.label, sign_in.login, wallet_account_id)
    expires_ms = now_ms + broker.token_ttl_seconds * 1000
    return desk.random(TOKEN_BYTES).hex(), TokenGrant(identity, area, now_ms, expires_ms)


def _issued(broker: Broker, sign_in: SignIn, token: str, grant: TokenGrant) -> IssuedToken:
    tag = tag_for(sign_in.language, broker.default_language)
    return IssuedToken(token, broker.token_ttl_seconds, tag, sign_in_url(grant.area, token, tag))
