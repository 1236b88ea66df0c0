"""Transfers at platform-groups, as this service asks for them."""

from __future__ import annotations

import grpc

from apportion.allocation.operations.ports import PayoutBatch
from apportion.allocation.wire.payouts import SOURCE
from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.rpc import call_options, set_column


class PlatformTransfers:
    """Batch transfers over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._stub = transfers_pb2_grpc.TransfersServiceStub(channel)
        self._call_seconds = call_seconds

    async def submit(self, batch: PayoutBatch) -> None:
        """Results come back as events of the aggregate of the master's account, in order."""
        request = transfers_pb2.BatchTransferFundsRequest(
            request_id=str(batch.request_id),
            source=SOURCE,
            ordering_key=batch.master_account_id,
            currency_code=batch.currency_code,
        )
        set_column(request, "item_ids", [payout.item_id for payout in batch.payouts])
        set_column(request, "debit_account_ids", [payout.debit_account_id for payout in batch.payouts])
        set_column(request, "credit_account_ids", [payout.credit_account_id for payout in batch.payouts])
        set_column(request, "amounts_minor", [abs(payout.amount_minor) for payout in batch.payouts])
        await self._stub.BatchTransferFunds(request, **call_options(batch.label, self._call_seconds))
