"""platform-groups, as this service asks it."""

from __future__ import annotations

import grpc

from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.fees.operations.ports import TransferBatch
from apportion.fees.wire import SOURCE
from apportion.rpc import call_options, set_column


class PlatformTransfers:
    """Batch transfers over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._stub = transfers_pb2_grpc.TransfersServiceStub(channel)
        self._call_seconds = call_seconds

    async def submit(self, batch: TransferBatch) -> None:
        """Results come back as events of the master's aggregate: one stream for each master, in order."""
        request = transfers_pb2.BatchTransferFundsRequest(
            request_id=str(batch.request_id),
            source=SOURCE,
            ordering_key=batch.master_id,
            currency_code=batch.currency_code,
        )
        transfers = batch.transfers
        set_column(request, "item_ids", [transfer.item_id for transfer in transfers])
        set_column(request, "debit_account_ids", [transfer.payer_account_id for transfer in transfers])
        set_column(request, "credit_account_ids", [transfer.payee_account_id for transfer in transfers])
        set_column(request, "amounts_minor", [transfer.amount_minor for transfer in transfers])
        await self._stub.BatchTransferFunds(request, **call_options(batch.label, self._call_seconds))
