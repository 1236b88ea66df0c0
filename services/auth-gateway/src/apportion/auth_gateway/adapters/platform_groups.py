"""platform-groups over gRPC: the wallet check and the accounts."""

from __future__ import annotations

import grpc

from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc
from apportion.auth_gateway.domain.reads import Account, AccountSnapshot
from apportion.errors import NotFound
from apportion.money import currency_digits
from apportion.rpc import call_options, from_timestamp, given

CALL_SECONDS = 2.0


class PlatformGroupsAccounts:
    """The port `Accounts`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = accounts_pb2_grpc.AccountsServiceStub(channel)

    async def find_open_wallet(self, label: int, login: int) -> int | None:
        request = accounts_pb2.GetAccountRequest(login=login, kind=accounts_pb2.ACCOUNT_KIND_WALLET)
        try:
            response = await self._stub.GetAccount(request, **call_options(label, CALL_SECONDS))
        except NotFound:
            return None
        account = response.account
        usable = (
            account.kind == accounts_pb2.ACCOUNT_KIND_WALLET
            and account.state == accounts_pb2.ACCOUNT_STATE_OPEN
            and account.login == login
        )
        return account.account_id if usable else None

    async def get_account(self, label: int, account_id: int) -> Account:
        request = accounts_pb2.GetAccountRequest(account_id=account_id)
        response = await self._stub.GetAccount(request, **call_options(label, CALL_SECONDS))
        return _account(response.account)


def _account(message: accounts_pb2.Account) -> Account:
    return Account(
        account_id=message.account_id,
        login=message.login,
        kind=accounts_pb2.AccountKind.Name(message.kind).removeprefix("ACCOUNT_KIND_").lower(),
        state=accounts_pb2.AccountState.Name(message.state).removeprefix("ACCOUNT_STATE_").lower(),
        access=accounts_pb2.AccountAccess.Name(message.access).removeprefix("ACCOUNT_ACCESS_").lower(),
        currency_code=message.currency_code,
        currency_digits=currency_digits(message.currency_code, given(message, "currency_digits")),
        leverage=message.leverage,
        holder_name=message.holder_name,
        wallet_account_id=message.wallet_account_id,
        snapshot=_snapshot(message.snapshot) if message.HasField("snapshot") else None,
        create_time=from_timestamp(message.create_time, "account.create_time"),
    )


def _snapshot(message: accounts_pb2.AccountSnapshot) -> AccountSnapshot:
    return AccountSnapshot(
        balance_minor=message.balance_minor,
        credit_minor=message.credit_minor,
        equity_minor=message.equity_minor,
        margin_minor=message.margin_minor,
        free_margin_minor=message.free_margin_minor,
        observed_time=from_timestamp(message.observed_time, "account.snapshot.observed_time"),
    )
