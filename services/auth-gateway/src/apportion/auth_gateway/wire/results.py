"""Results of each method, as they look outside: amounts as decimal strings, instants in ISO 8601."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from apportion.auth_gateway.domain.reads import Account, AccountSnapshot, Master, Page, Subscription
from apportion.auth_gateway.domain.tokens import SESSION_IDLE_SECONDS, IssuedToken, Session
from apportion.money import format_amount

RATIO_DIGITS = 8


@dataclass(slots=True)
class TokenResult:
    """`url` signs the user in; `redirect_url` answers 302 to it, with `?lang=` for another language."""

    token: str
    expires_in_seconds: int
    url: str
    redirect_url: str


@dataclass(slots=True)
class SessionResult:
    """`session` is the bearer key, null when the session travels in a cookie."""

    session: str | None
    label: int
    login: int
    wallet_account_id: int
    idle_seconds: int
    expire_time: str


@dataclass(slots=True)
class RevokedResult:
    """The session has ended."""

    revoked: bool


@dataclass(slots=True)
class SnapshotResult:
    balance: str
    credit: str
    equity: str
    margin: str
    free_margin: str
    observed_time: str


@dataclass(slots=True)
class AccountResult:
    """`snapshot` is null until the account was first seen on the trading server."""

    account_id: int
    login: int
    kind: str
    state: str
    access: str
    currency_code: str
    leverage: int
    holder_name: str
    wallet_account_id: int
    snapshot: SnapshotResult | None
    create_time: str


@dataclass(slots=True)
class MasterResult:
    """`account_id` and `account_login` are null unless the master is the user's own."""

    master_id: int
    name: str
    account_type: str
    method: str
    state: str
    currency_code: str
    min_follower_equity: str
    active_subscription_count: int
    account_id: int | None
    account_login: int | None
    create_time: str


@dataclass(slots=True)
class SubscriptionResult:
    subscription_id: int
    master_id: int
    account_id: int
    account_login: int
    active: bool
    ratio: str
    lot: str
    percent: str
    create_time: str


@dataclass(slots=True)
class MastersResult:
    masters: list[MasterResult]
    next_page_token: str


@dataclass(slots=True)
class SubscriptionsResult:
    subscriptions: list[SubscriptionResult]
    next_page_token: str


def token_result(issued: IssuedToken, public_url: str) -> TokenResult:
    """The answer to la.auth."""
    link = f"{public_url}/redirect/{issued.token}?lang={issued.language_tag}"
    return TokenResult(issued.token, issued.ttl_seconds, issued.url, link)


def session_result(key: str | None, session: Session) -> SessionResult:
    """The answer to session.exchange."""
    who = session.identity
    ends = datetime.fromtimestamp(session.ends_ms / 1000, tz=UTC)
    return SessionResult(key, who.label, who.login, who.wallet_account_id, SESSION_IDLE_SECONDS, _instant(ends))


def account_result(account: Account) -> AccountResult:
    """The answer to accounts.get."""
    return AccountResult(
        account_id=account.account_id,
        login=account.login,
        kind=account.kind,
        state=account.state,
        access=account.access,
        currency_code=account.currency_code,
        leverage=account.leverage,
        holder_name=account.holder_name,
        wallet_account_id=account.wallet_account_id,
        snapshot=None if account.snapshot is None else _snapshot(account.snapshot, account.currency_digits),
        create_time=_instant(account.create_time),
    )


def masters_result(page: Page[Master], wallet_account_id: int) -> MastersResult:
    """The answer to masters.list, as the owner of this wallet may see it."""
    return MastersResult([_master(master, wallet_account_id) for master in page.items], page.next_page_token)


def subscriptions_result(page: Page[Subscription]) -> SubscriptionsResult:
    """The answer to subscriptions.list."""
    return SubscriptionsResult([_subscription(item) for item in page.items], page.next_page_token)


def _master(master: Master, wallet_account_id: int) -> MasterResult:
    own = master.wallet_account_id == wallet_account_id
    return MasterResult(
        master_id=master.master_id,
        name=master.name,
        account_type=master.account_type,
        method=master.method,
        state=master.state,
        currency_code=master.currency_code,
        min_follower_equity=format_amount(master.min_follower_equity_minor, master.currency_digits),
        active_subscription_count=master.active_subscription_count,
        account_id=master.account_id if own else None,
        account_login=master.account_login if own else None,
        create_time=_instant(master.create_time),
    )


def _subscription(item: Subscription) -> SubscriptionResult:
    return SubscriptionResult(
        subscription_id=item.subscription_id,
        master_id=item.master_id,
        account_id=item.account_id,
        account_login=item.account_login,
        active=item.active,
        ratio=format_amount(item.ratio_e8, RATIO_DIGITS),
        lot=format_amount(item.lot_e8, RATIO_DIGITS),
        percent=format_amount(item.percent_e8, RATIO_DIGITS),
        create_time=_instant(item.create_time),
    )


def _snapshot(snapshot: AccountSnapshot, digits: int) -> SnapshotResult:
    return SnapshotResult(
        balance=format_amount(snapshot.balance_minor, digits),
        credit=format_amount(snapshot.credit_minor, digits),
        equity=format_amount(snapshot.equity_minor, digits),
        margin=format_amount(snapshot.margin_minor, digits),
        free_margin=format_amount(snapshot.free_margin_minor, digits),
        observed_time=_instant(snapshot.observed_time),
    )


def _instant(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
