"""platform-groups, as this service asks it."""

from __future__ import annotations

import grpc

from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc
from apportion.fees.domain.terms import Currency
from apportion.money import currency_digits
from apportion.rpc import call_options, given


class PlatformWallets:
    """Accounts over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._accounts = accounts_pb2_grpc.AccountsServiceStub(channel)
        self._call_seconds = call_seconds

    async def currency(self, label: int, account_id: int) -> Currency:
        """Raises NotFound for an account that the label does not have."""
        request = accounts_pb2.GetAccountRequest(account_id=account_id)
        account = (await self._accounts.GetAccount(request, **call_options(label, self._call_seconds))).account
        digits = currency_digits(account.currency_code, given(account, "currency_digits"))
        return Currency(account.currency_code, digits)
