"""TransfersService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.platform_groups.operations.accept_transfers import batch_transfer_funds
from apportion.platform_groups.operations.get_transfer import get_transfer
from apportion.platform_groups.operations.list_transfers import list_transfers
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.operations.transfer_funds import adjust_balance, transfer_funds
from apportion.platform_groups.servicers.patience import patience_seconds
from apportion.platform_groups.wire.transfers import check_adjustment, parse_transfer, parse_transfers, render_transfer
from apportion.rpc import caller, parse_filters, parse_id, request_key
from apportion.runtime import Clock
from apportion.storage import Page


@dataclass(frozen=True, slots=True)
class TransfersServicer(transfers_pb2_grpc.TransfersServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    clock: Clock
    new_id: NewId

    async def AdjustBalance(  # noqa: N802
        self, request: transfers_pb2.AdjustBalanceRequest, context: Any
    ) -> transfers_pb2.AdjustBalanceResponse:
        key = request_key(request)
        check_adjustment(request)
        transfer = await adjust_balance(
            self.engine,
            self.clock,
            key,
            request.account_id,
            request.amount.amount_minor,
            currency_code=request.amount.currency_code,
            cause=request.cause,
            patience_seconds=patience_seconds(caller()),
        )
        return transfers_pb2.AdjustBalanceResponse(transfer=render_transfer(transfer))

    async def TransferFunds(  # noqa: N802
        self, request: transfers_pb2.TransferFundsRequest, context: Any
    ) -> transfers_pb2.TransferFundsResponse:
        key, wanted = request_key(request), parse_transfer(request)
        patience = patience_seconds(caller())
        transfer = await transfer_funds(self.engine, self.clock, key, wanted, patience_seconds=patience)
        return transfers_pb2.TransferFundsResponse(transfer=render_transfer(transfer))

    async def BatchTransferFunds(  # noqa: N802
        self, request: transfers_pb2.BatchTransferFundsRequest, context: Any
    ) -> transfers_pb2.BatchTransferFundsResponse:
        key, transfers = request_key(request), parse_transfers(request, caller().label)
        accepted = await batch_transfer_funds(self.engine, self.new_id, key, transfers, now=self.clock.now())
        return transfers_pb2.BatchTransferFundsResponse(
            accepted_count=accepted.accepted_count,
            known_count=accepted.known_count,
            conflicting_item_ids=accepted.conflicting_item_ids,
        )

    async def GetTransfer(  # noqa: N802
        self, request: transfers_pb2.GetTransferRequest, context: Any
    ) -> transfers_pb2.GetTransferResponse:
        transfer = await get_transfer(self.reads, caller().label, parse_id(request.transfer_id, "transfer_id"))
        return transfers_pb2.GetTransferResponse(transfer=render_transfer(transfer))

    async def ListTransfers(  # noqa: N802
        self, request: transfers_pb2.ListTransfersRequest, context: Any
    ) -> transfers_pb2.ListTransfersResponse:
        label, account_id = caller().label, request.account_id
        parse_filters(account_id=account_id)
        page = Page(request.page_size, request.page_token, "ListTransfers", label, account_id)
        found = await list_transfers(self.reads, label, account_id, after_id=page.after_id, limit=page.limit)
        rows, token = page.cut(found, lambda transfer: transfer.transfer_id)
        return transfers_pb2.ListTransfersResponse(
            transfers=[render_transfer(transfer) for transfer in rows], next_page_token=token
        )
