"""platform-groups, as this service asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

import grpc
import numpy as np

from apportion.allocation.domain.accounts import Account, AccountKind
from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.positions import PositionReport
from apportion.allocation.errors import PositionsTooMany
from apportion.allocation.operations.ports import OrderBatch
from apportion.allocation.wire.events import KINDS
from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    deals_pb2,
    deals_pb2_grpc,
    events_pb2,
    platform_groups_pb2,
    trading_pb2,
    trading_pb2_grpc,
)
from apportion.errors import DomainError
from apportion.money import currency_digits
from apportion.rpc import call_options, column, from_timestamp, given, set_column, to_timestamp

PAGE_ROWS = 1_000
PURPOSES = {kind: purpose for purpose, kind in KINDS.items()}
NETS = {platform_groups_pb2.MARGIN_MODE_HEDGING: False, platform_groups_pb2.MARGIN_MODE_NETTING: True}


class PlatformAccounts:
    """Trading accounts over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._stub = accounts_pb2_grpc.AccountsServiceStub(channel)
        self._call_seconds = call_seconds

    async def account(self, label: int, account_id: int) -> Account:
        """Raises NotFound for an account that the label does not have."""
        answer = await self._stub.GetAccount(
            accounts_pb2.GetAccountRequest(account_id=account_id), **call_options(label, self._call_seconds)
        )
        account = answer.account
        return Account(
            account_id=account.account_id,
            kind=AccountKind(account.kind),
            is_open=account.state == accounts_pb2.ACCOUNT_STATE_OPEN,
            login=account.login,
            trading_server_id=account.trading_server_id,
            currency_code=account.currency_code,
            currency_digits=currency_digits(account.currency_code, given(account, "currency_digits")),
            wallet_account_id=account.wallet_account_id,
            equity_minor=account.snapshot.equity_minor if account.HasField("snapshot") else None,
            nets=NETS.get(account.margin_mode),
        )


class PlatformOrders:
    """Order commands over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._stub = trading_pb2_grpc.TradingServiceStub(channel)
        self._call_seconds = call_seconds

    async def submit(self, batch: OrderBatch) -> None:
        """All are durably accepted when it returns; an item that was submitted before makes no second order."""
        orders = batch.orders
        request = trading_pb2.SubmitOrdersRequest(
            request_id=str(batch.request_id),
            source_id=batch.source_id,
            ordering_key=batch.ordering_key,
            purpose=PURPOSES[batch.kind],
            symbols=orders.symbols,
            halt_epoch=batch.halt_epoch if batch.kind is AllocationKind.OPEN else None,
        )
        set_column(request, "item_ids", orders.item_ids)
        set_column(request, "account_ids", orders.account_ids)
        set_column(request, "volumes_e8", orders.volumes_e8)
        set_column(request, "position_tickets", orders.position_tickets)
        if len(orders.symbols) > 1:
            set_column(request, "symbol_indexes", orders.symbol_rows)
        set_column(request, "stop_losses_e8", orders.stop_losses_e8)
        set_column(request, "take_profits_e8", orders.take_profits_e8)
        if orders.max_slippages_e8.size:
            limited = orders.max_slippages_e8 > 0
            set_column(request, "reference_prices_e8", np.where(limited, batch.reference_price_e8, 0))
            set_column(request, "max_slippages_e8", orders.max_slippages_e8)
        if batch.not_after_time is not None:
            request.not_after_time.CopyFrom(to_timestamp(batch.not_after_time))
        await self._stub.SubmitOrders(request, **call_options(batch.label, self._call_seconds))

    async def void_opens(self, label: int, ordering_key: int, halt_epoch: int) -> None:
        """Raises DomainError."""
        request_id = uuid5(NAMESPACE_URL, f"apportion/halt/{ordering_key}/{halt_epoch}")
        request = trading_pb2.VoidOpensRequest(
            request_id=str(request_id), ordering_key=ordering_key, halt_epoch=halt_epoch
        )
        await self._stub.VoidOpens(request, **call_options(label, self._call_seconds))


class PlatformFacts:
    """Facts that events have told, asked for again over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._deals = deals_pb2_grpc.DealsServiceStub(channel)
        self._trading = trading_pb2_grpc.TradingServiceStub(channel)
        self._call_seconds = call_seconds

    async def deals(
        self, label: int, account_ids: Sequence[int], position_tickets: Sequence[int], since_time: datetime | None
    ) -> events_pb2.DealsObserved:
        """The deals of these positions, all on one server, that were observed since a time, as an event tells them."""
        request = deals_pb2.BatchGetDealsRequest()
        set_column(request, "account_ids", account_ids)
        set_column(request, "position_tickets", position_tickets)
        if since_time is not None:
            request.since_time.CopyFrom(to_timestamp(since_time))
        answer = await self._deals.BatchGetDeals(request, **call_options(label, self._call_seconds))
        return answer.deals

    async def orders(self, label: int, source_id: str) -> AsyncIterator[trading_pb2.OrderColumns]:
        """All orders of a source as they are now, page by page."""
        request = trading_pb2.ListOrdersRequest(source_id=source_id, page_size=PAGE_ROWS)
        while True:
            answer = await self._trading.ListOrders(request, **call_options(label, self._call_seconds))
            yield answer.orders
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token


class PlatformPositions:
    """Open positions over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._stub = trading_pb2_grpc.TradingServiceStub(channel)
        self._call_seconds = call_seconds

    async def report(self, label: int, account_ids: Sequence[int]) -> PositionReport:
        """All open positions of these accounts, which are on one server; a DomainError rather than a part of them.

        A report that does not fit into one message is asked for in halves, and is as old as the oldest of them.
        """
        try:
            return await self._ask(label, account_ids)
        except DomainError as error:
            if error.reason != grpc.StatusCode.RESOURCE_EXHAUSTED.name:  # of the transport: no service of ours says so
                raise
            if len(account_ids) == 1:
                raise PositionsTooMany(account_id=account_ids[0]) from error
        middle = len(account_ids) // 2
        first = await self.report(label, account_ids[:middle])
        return first.joined(await self.report(label, account_ids[middle:]))

    async def _ask(self, label: int, account_ids: Sequence[int]) -> PositionReport:
        request = trading_pb2.BatchGetPositionsRequest(leave_out_closed=True)
        set_column(request, "account_ids", account_ids)
        answer = await self._stub.BatchGetPositions(request, **call_options(label, self._call_seconds))
        positions = answer.positions
        return PositionReport(
            observed_time=from_timestamp(answer.observed_time, "observed_time"),
            account_ids=column(positions.account_ids),
            position_tickets=column(positions.position_tickets),
            symbols=[positions.symbols[index] for index in positions.symbol_indexes],
            volumes_e8=column(positions.volumes_e8),
            open_prices_e8=column(positions.open_prices_e8),
            order_ids=column(positions.order_ids),
            floating_minor=column(positions.profits_minor) + column(positions.swaps_minor),
            left_account_ids=list(answer.left_account_ids),
        )
