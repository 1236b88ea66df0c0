"""platform-groups, as this service asks it."""

from __future__ import annotations

from uuid import UUID

import grpc

from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc, trading_pb2, trading_pb2_grpc
from apportion.events.account_states import ask_account_states
from apportion.risk.domain.snapshots import Snapshot, SnapshotSource
from apportion.risk.domain.trips import Close
from apportion.risk.operations.ports import ClosingReport
from apportion.risk.wire import parse_account_states
from apportion.rpc import CallOptions, call_options, from_timestamp


class PlatformAccounts:
    """Accounts and closings over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._accounts = accounts_pb2_grpc.AccountsServiceStub(channel)
        self._trading = trading_pb2_grpc.TradingServiceStub(channel)
        self._call_seconds = call_seconds

    async def close_all(self, label: int, account_id: int, cause: str, request_id: UUID) -> int:
        request = trading_pb2.CloseAllPositionsRequest(request_id=str(request_id), account_id=account_id, cause=cause)
        answer = await self._trading.CloseAllPositions(request, **self._options(label))
        return answer.closing.closing_id

    async def closing(self, label: int, closing_id: int) -> ClosingReport:
        request = trading_pb2.GetClosingRequest(closing_id=closing_id)
        closing = (await self._trading.GetClosing(request, **self._options(label))).closing
        is_flat = closing.state == trading_pb2.ClosingState.CLOSING_STATE_FLAT
        # A platform-groups of the version before tells no times.
        times_ms = closing.server_times_ms or [0] * len(closing.position_tickets)
        columns = zip(closing.position_tickets, closing.volumes_e8, closing.prices_e8, times_ms, strict=True)
        return ClosingReport(
            flat_time=from_timestamp(closing.flat_time, "closing.flat_time") if is_flat else None,
            closes=tuple(Close(*row) for row in columns),
            last_error=closing.last_error,
        )

    async def has_positions(self, label: int, account_id: int) -> bool:
        request = trading_pb2.ListPositionsRequest(account_id=account_id, page_size=1)
        answer = await self._trading.ListPositions(request, **self._options(label))
        return bool(answer.positions)

    async def set_read_only(self, label: int, account_id: int, read_only: bool, cause: str, request_id: UUID) -> None:
        access = accounts_pb2.AccountAccess
        request = accounts_pb2.SetAccountAccessRequest(
            request_id=str(request_id),
            account_id=account_id,
            access=access.ACCOUNT_ACCESS_READ_ONLY if read_only else access.ACCOUNT_ACCESS_FULL,
            cause=cause,
        )
        await self._accounts.SetAccountAccess(request, **self._options(label))

    def _options(self, label: int) -> CallOptions:
        return call_options(label, self._call_seconds)


class AskedStates:
    """The live states of accounts, asked of the trading server through platform-groups."""

    def __init__(self, channel: grpc.aio.Channel, ask_seconds: float) -> None:
        self._stub = accounts_pb2_grpc.AccountsServiceStub(channel)
        self._ask_seconds = ask_seconds

    async def newest(self, label: int, trading_server_id: int) -> Snapshot:
        """Raises the error of a call."""
        states = await ask_account_states(self._stub, label, trading_server_id, call_seconds=self._ask_seconds)
        return parse_account_states(states, SnapshotSource.ASKED)
