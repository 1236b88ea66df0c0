"""The methods, one function each: parse, call, render. This table is what is served and what rpc.discover tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from apportion.auth_gateway.domain.reads import PageRequest
from apportion.auth_gateway.domain.tokens import SESSION_MAX_SECONDS, Session
from apportion.auth_gateway.errors import SessionRequired
from apportion.auth_gateway.operations.exchange_token import Exchange, SessionDesk, exchange_token
from apportion.auth_gateway.operations.get_account import get_account
from apportion.auth_gateway.operations.issue_token import SignIn, TokenDesk, issue_token
from apportion.auth_gateway.operations.list_masters import list_masters
from apportion.auth_gateway.operations.list_subscriptions import list_subscriptions
from apportion.auth_gateway.operations.ports import Accounts, Masters
from apportion.auth_gateway.operations.revoke_session import revoke_session
from apportion.auth_gateway.web.headers import Visit, claimed_label, read_credentials, session_cookie
from apportion.auth_gateway.wire import results
from apportion.auth_gateway.wire.openrpc import describe
from apportion.auth_gateway.wire.params import (
    AccountParams,
    ExchangeParams,
    LaAuthParams,
    MastersParams,
    MethodParams,
    NoParams,
    PageParams,
    RevokeParams,
)


@dataclass(frozen=True, slots=True)
class Services:
    """What the methods call."""

    token_desk: TokenDesk
    session_desk: SessionDesk
    accounts: Accounts
    masters: Masters
    public_url: str


class Done(msgspec.Struct, frozen=True):
    """What a method gives back: its result and, when the session changes, a cookie."""

    result: object
    set_cookie: str | None = None


ParamsT = TypeVar("ParamsT", bound=MethodParams)
Run = Callable[[Services, Visit, Session | None, ParamsT], Awaitable[Done]]


@dataclass(frozen=True, slots=True)
class Method(Generic[ParamsT]):
    """One method. `signed_in`: needs a session. `alone`: not in a batch. `named`: no positional parameters."""

    name: str
    summary: str
    params: type[ParamsT]
    result: type
    run: Run[ParamsT]
    signed_in: bool = True
    alone: bool = False
    named: bool = False


async def _la_auth(services: Services, visit: Visit, _session: Session | None, params: LaAuthParams) -> Done:
    label, login, secret = read_credentials(visit.headers)
    sign_in = SignIn(label, login, params.wa_login, secret, visit.address, params.lang, params.return_url)
    issued = await issue_token(services.token_desk, sign_in)
    return Done(results.token_result(issued, services.public_url))


async def _exchange(services: Services, visit: Visit, _session: Session | None, params: ExchangeParams) -> Done:
    exchange = Exchange(params.token, visit.origin, claimed_label(visit.headers), visit.address)
    key, session = await exchange_token(services.session_desk, exchange)
    if params.transport == "bearer":
        return Done(results.session_result(key, session))
    return Done(results.session_result(None, session), session_cookie(key, SESSION_MAX_SECONDS))


async def _revoke(services: Services, _visit: Visit, session: Session | None, params: RevokeParams) -> Done:
    await revoke_session(services.session_desk, _present(session), everywhere=params.everywhere)
    return Done(results.RevokedResult(revoked=True), session_cookie("", 0))


async def _get_account(services: Services, _visit: Visit, session: Session | None, params: AccountParams) -> Done:
    account = await get_account(services.accounts, _present(session).identity, params.account_id)
    return Done(results.account_result(account))


async def _list_masters(services: Services, _visit: Visit, session: Session | None, params: MastersParams) -> Done:
    user, part = _present(session).identity, PageRequest(params.page_size, params.page_token)
    page = await list_masters(services.masters, user, part, own=params.own)
    return Done(results.masters_result(page, user.wallet_account_id))


async def _list_subscriptions(services: Services, _visit: Visit, session: Session | None, params: PageParams) -> Done:
    part = PageRequest(params.page_size, params.page_token)
    page = await list_subscriptions(services.masters, _present(session).identity, part)
    return Done(results.subscriptions_result(page))


async def _discover(_services: Services, _visit: Visit, _session: Session | None, _params: NoParams) -> Done:
    return Done(describe((m.name, m.summary, m.params, m.result, m.named) for m in METHODS.values()))


def _present(session: Session | None) -> Session:
    if session is None:  # the endpoint opens one for every method that is signed_in
        raise SessionRequired
    return session


def _table(*methods: Method[Any]) -> Mapping[str, Method[Any]]:
    return {method.name: method for method in methods}


METHODS = _table(
    Method(
        "la.auth",
        "A trader's room signs a user in and gets a one-time token.",
        LaAuthParams,
        results.TokenResult,
        _la_auth,
        signed_in=False,
        alone=True,
        named=True,
    ),
    Method(
        "session.exchange",
        "The area exchanges the token, once, for a session.",
        ExchangeParams,
        results.SessionResult,
        _exchange,
        signed_in=False,
        alone=True,
    ),
    Method(
        "session.revoke",
        "Sign out, here or everywhere.",
        RevokeParams,
        results.RevokedResult,
        _revoke,
        alone=True,
    ),
    Method(
        "accounts.get",
        "The user's wallet, or one of the accounts that belong to it.",
        AccountParams,
        results.AccountResult,
        _get_account,
    ),
    Method(
        "masters.list",
        "The leaderboard, or the user's own masters.",
        MastersParams,
        results.MastersResult,
        _list_masters,
    ),
    Method(
        "subscriptions.list",
        "The subscriptions of the user's own investment accounts.",
        PageParams,
        results.SubscriptionsResult,
        _list_subscriptions,
    ),
    Method(
        "rpc.discover",
        "This document, in OpenRPC.",
        NoParams,
        dict,
        _discover,
        signed_in=False,
    ),
)
