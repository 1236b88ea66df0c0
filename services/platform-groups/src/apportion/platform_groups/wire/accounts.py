"""Accounts: protos to domain and back."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import accounts_pb2, events_pb2
from apportion.platform_groups.domain.accounts import Account, NewAccount
from apportion.platform_groups.domain.states import AccountAccess, AccountKind
from apportion.platform_groups.operations.create_account import CreatedAccount
from apportion.platform_groups.wire.lengths import CAUSE_LENGTH, NAME_LENGTH
from apportion.rpc import Problems, to_timestamp


def parse_new_account(request: accounts_pb2.CreateAccountRequest) -> NewAccount:
    problems = Problems()
    problems.positive(request.platform_group_id, "platform_group_id")
    problems.one_of(request.kind, tuple(AccountKind), "kind")
    problems.text(request.holder_name, "holder_name", longest=NAME_LENGTH)
    problems.not_negative(request.leverage, "leverage")
    problems.not_negative(request.wallet_account_id, "wallet_account_id")
    problems.not_negative(request.initial_balance_minor, "initial_balance_minor")
    problems.raise_if_any()
    return NewAccount(
        platform_group_id=request.platform_group_id,
        kind=AccountKind(request.kind),
        holder_name=request.holder_name,
        leverage=request.leverage,
        wallet_account_id=request.wallet_account_id,
        initial_balance_minor=request.initial_balance_minor,
    )


def parse_kind(kind: int) -> int:
    """Which accounts are meant; 0: any."""
    problems = Problems()
    problems.one_of(kind, {0, *AccountKind}, "kind")
    problems.raise_if_any()
    return kind


def parse_access(request: accounts_pb2.SetAccountAccessRequest) -> AccountAccess:
    problems = Problems()
    problems.positive(request.account_id, "account_id")
    problems.one_of(request.access, tuple(AccountAccess), "access")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()
    return AccountAccess(request.access)


def render_account(account: Account, seen: tuple[events_pb2.AccountStates, int] | None = None) -> accounts_pb2.Account:
    """`seen` is the account's row in the newest published states."""
    message = accounts_pb2.Account(
        account_id=account.account_id,
        platform_group_id=account.platform_group_id,
        trading_server_id=account.trading_server_id,
        kind=int(account.kind),  # type: ignore[arg-type]
        state=int(account.state),  # type: ignore[arg-type]
        access=int(account.access),  # type: ignore[arg-type]
        login=account.login,
        currency_code=account.currency_code,
        currency_digits=account.currency_digits,
        margin_mode=int(account.margin_mode),  # type: ignore[arg-type]
        leverage=account.leverage,
        holder_name=account.holder_name,
        wallet_account_id=account.wallet_account_id,
        failure_reason=account.failure_reason,
        create_time=to_timestamp(account.create_time),
    )
    if seen is not None:
        states, index = seen
        message.snapshot.CopyFrom(
            accounts_pb2.AccountSnapshot(
                balance_minor=states.balances_minor[index],
                credit_minor=states.credits_minor[index],
                equity_minor=states.equities_minor[index],
                margin_minor=states.margins_minor[index],
                free_margin_minor=states.free_margins_minor[index],
                observed_time=states.observed_time,
            )
        )
    return message


def render_created(created: CreatedAccount) -> accounts_pb2.CreateAccountResponse:
    return accounts_pb2.CreateAccountResponse(
        account=render_account(created.account),
        main_password=created.main_password,
        investor_password=created.investor_password,
        trading_server_name=created.server_name,
    )
