"""TransfersService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.operations.accept_transfers import DirectTransfer, accept_batch, accept_transfer
from apportion.platform_groups.operations.await_transfer import await_transfer
from apportion.platform_groups.servicers.paging import Page
from apportion.platform_groups.servicers.patience import patience_seconds
from apportion.platform_groups.storage.transfers import list_transfers, load_transfer
from apportion.platform_groups.wire.trading import parse_adjustment, parse_transfer, parse_transfers, render_transfer
from apportion.rpc import RequestKey, caller, request_key
from apportion.runtime import Clock
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class TransfersServicer(transfers_pb2_grpc.TransfersServiceServicer):
    engine: AsyncEngine
    clock: Clock

    async def AdjustBalance(  # noqa: N802
        self, request: transfers_pb2.AdjustBalanceRequest, context: Any
    ) -> transfers_pb2.AdjustBalanceResponse:
        transfer = await self._carry_out(request_key(request), parse_adjustment(request))
        return transfers_pb2.AdjustBalanceResponse(transfer=render_transfer(transfer))

    async def TransferFunds(  # noqa: N802
        self, request: transfers_pb2.TransferFundsRequest, context: Any
    ) -> transfers_pb2.TransferFundsResponse:
        transfer = await self._carry_out(request_key(request), parse_transfer(request))
        return transfers_pb2.TransferFundsResponse(transfer=render_transfer(transfer))

    async def BatchTransferFunds(  # noqa: N802
        self, request: transfers_pb2.BatchTransferFundsRequest, context: Any
    ) -> transfers_pb2.BatchTransferFundsResponse:
        key, transfers = request_key(request), parse_transfers(request, caller().label)
        accepted = await accept_batch(self.engine, key, transfers, now=self.clock.now())
        return transfers_pb2.BatchTransferFundsResponse(
            accepted_count=accepted.accepted_count, known_count=accepted.known_count
        )

    async def GetTransfer(  # noqa: N802
        self, request: transfers_pb2.GetTransferRequest, context: Any
    ) -> transfers_pb2.GetTransferResponse:
        async with transaction(self.engine) as tx:
            transfer = await load_transfer(tx, caller().label, request.transfer_id)
        return transfers_pb2.GetTransferResponse(transfer=render_transfer(transfer))

    async def ListTransfers(  # noqa: N802
        self, request: transfers_pb2.ListTransfersRequest, context: Any
    ) -> transfers_pb2.ListTransfersResponse:
        label, account_id = caller().label, request.account_id
        page = Page(request.page_size, request.page_token, "ListTransfers", label, account_id)
        async with transaction(self.engine) as tx:
            found = await list_transfers(tx, label, account_id, page.after_id, page.limit)
        rows, token = page.cut(found, lambda transfer: transfer.transfer_id)
        return transfers_pb2.ListTransfersResponse(
            transfers=[render_transfer(transfer) for transfer in rows], next_page_token=token
        )

    async def _carry_out(self, key: RequestKey, transfer: DirectTransfer) -> Transfer:
        """Accepted durably, then waited for as long as the caller can; PENDING says that it goes on."""
        transfer_id = await accept_transfer(self.engine, key, transfer, now=self.clock.now())
        patience = patience_seconds(caller())
        return await await_transfer(self.engine, self.clock, key.label, transfer_id, patience_seconds=patience)
