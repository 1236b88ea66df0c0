"""AccountsService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc
from apportion.api.platform_groups.v1.events_pb2 import AccountStates
from apportion.errors import InvalidArgument, UpstreamUnavailable, Violation
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.operations.await_transfer import await_initial_balance
from apportion.platform_groups.operations.create_account import create_account
from apportion.platform_groups.operations.get_account import get_account
from apportion.platform_groups.operations.get_account_states import FreshStates, get_account_states
from apportion.platform_groups.operations.list_accounts import list_accounts
from apportion.platform_groups.operations.ports import NewPassword, SnapshotsPort, TradingServersPort
from apportion.platform_groups.operations.reset_account_passwords import reset_account_passwords
from apportion.platform_groups.operations.set_account_access import set_account_access
from apportion.platform_groups.servicers.patience import patience_seconds
from apportion.platform_groups.wire.accounts import (
    parse_access,
    parse_kind,
    parse_new_account,
    render_account,
    render_created,
)
from apportion.platform_groups.wire.states import render_states
from apportion.rpc import caller, parse_filters, parse_id, request_key
from apportion.runtime import Clock
from apportion.storage import Page

log = structlog.get_logger()

STATES_PAGE_ROWS = 15_000
"""What fits into one message."""


@dataclass(frozen=True, slots=True)
class AccountsServicer(accounts_pb2_grpc.AccountsServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    servers: TradingServersPort
    snapshots: SnapshotsPort
    clock: Clock
    new_password: NewPassword
    fresh: FreshStates

    async def CreateAccount(  # noqa: N802
        self, request: accounts_pb2.CreateAccountRequest, context: Any
    ) -> accounts_pb2.CreateAccountResponse:
        key, account = request_key(request), parse_new_account(request)
        created = await create_account(
            self.engine,
            self.servers,
            self.new_password,
            key,
            account,
            self.clock,
            patience_seconds=patience_seconds(caller()),
        )
        await await_initial_balance(
            self.engine, self.clock, created.account, patience_seconds=patience_seconds(caller())
        )
        return render_created(created)

    async def GetAccount(  # noqa: N802
        self, request: accounts_pb2.GetAccountRequest, context: Any
    ) -> accounts_pb2.GetAccountResponse:
        if request.WhichOneof("key") is None:
            raise InvalidArgument(violations=(Violation("key", "account_id or login is required"),))
        account = await get_account(
            self.reads,
            caller().label,
            account_id=request.account_id,
            login=request.login,
            kind=parse_kind(request.kind),
        )
        return accounts_pb2.GetAccountResponse(account=render_account(account, await self._seen(account)))

    async def ListAccounts(  # noqa: N802
        self, request: accounts_pb2.ListAccountsRequest, context: Any
    ) -> accounts_pb2.ListAccountsResponse:
        label, kind, wallet = caller().label, parse_kind(request.kind), request.wallet_account_id
        parse_filters(wallet_account_id=wallet)
        page = Page(request.page_size, request.page_token, "ListAccounts", label, kind, wallet)
        found = await list_accounts(
            self.reads, label, kind=kind, wallet_account_id=wallet, after_id=page.after_id, limit=page.limit
        )
        rows, token = page.cut(found, lambda account: account.account_id)
        messages = [render_account(account, await self._seen(account)) for account in rows]
        return accounts_pb2.ListAccountsResponse(accounts=messages, next_page_token=token)

    async def ResetAccountPasswords(  # noqa: N802
        self, request: accounts_pb2.ResetAccountPasswordsRequest, context: Any
    ) -> accounts_pb2.ResetAccountPasswordsResponse:
        key, account_id = request_key(request), parse_id(request.account_id, "account_id")
        reset = await reset_account_passwords(
            self.engine,
            self.servers,
            self.new_password,
            key,
            account_id,
            caller().peer,
            self.clock,
            patience_seconds=patience_seconds(caller()),
        )
        return accounts_pb2.ResetAccountPasswordsResponse(
            account=render_account(reset.account),
            main_password=reset.main_password,
            investor_password=reset.investor_password,
        )

    async def SetAccountAccess(  # noqa: N802
        self, request: accounts_pb2.SetAccountAccessRequest, context: Any
    ) -> accounts_pb2.SetAccountAccessResponse:
        key, access = request_key(request), parse_access(request)
        account = await set_account_access(
            self.engine,
            self.clock,
            key,
            request.account_id,
            access,
            request.cause,
            patience_seconds=patience_seconds(caller()),
        )
        return accounts_pb2.SetAccountAccessResponse(account=render_account(account))

    async def GetAccountStates(  # noqa: N802
        self, request: accounts_pb2.GetAccountStatesRequest, context: Any
    ) -> accounts_pb2.GetAccountStatesResponse:
        trading_server_id = parse_id(request.trading_server_id, "trading_server_id")
        states = await get_account_states(self.engine, self.fresh, caller().label, trading_server_id)
        page = states.page(request.after_account_id, STATES_PAGE_ROWS)
        last_id = int(page.rows[-1, 0]) if len(page.rows) else 0
        is_last = len(page.rows) == 0 or last_id == states.rows[-1, 0]
        return accounts_pb2.GetAccountStatesResponse(
            states=render_states(page), next_after_account_id=0 if is_last else last_id
        )

    async def _seen(self, account: Account) -> tuple[AccountStates, int] | None:
        """Without Redis there is no snapshot, and that is all."""
        try:
            return await self.snapshots.row(account.trading_server_id, account.account_id)
        except UpstreamUnavailable as error:
            log.warning("snapshot_unavailable", account_id=account.account_id, cause=str(error))
            return None
