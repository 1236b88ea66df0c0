"""Payouts as platform-groups gets them, over the wire."""

from __future__ import annotations

from uuid import UUID

import pytest

from apportion.allocation.adapters.transfers import PlatformTransfers
from apportion.allocation.domain.payouts import ReadyPayout
from apportion.allocation.operations.ports import PayoutBatch
from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.errors import DomainError, KillSwitchOn
from apportion.rpc import column
from apportion.testing.servers import running_server


class Transfers(transfers_pb2_grpc.TransfersServiceServicer):
    def __init__(self, refusal: DomainError | None = None) -> None:
        self.requests: list[transfers_pb2.BatchTransferFundsRequest] = []
        self.refusal = refusal

    async def BatchTransferFunds(self, request, context):
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        return transfers_pb2.BatchTransferFundsResponse(accepted_count=len(request.item_ids))

    async def unexpected(self, request, context):
        raise AssertionError(f"unexpected call: {request!r}")

    AdjustBalance = TransferFunds = GetTransfer = ListTransfers = unexpected


REQUEST_ID = UUID("00000000-0000-4000-8000-000000000001")
PAYOUTS = [ReadyPayout(5, 1, 64, 101, "USD", 250), ReadyPayout(6, 1, 64, 102, "USD", -30)]
BATCH = PayoutBatch(REQUEST_ID, 1, 64, "USD", PAYOUTS)


async def submitted(servicer: Transfers) -> None:
    def add(server) -> None:
        transfers_pb2_grpc.add_TransfersServiceServicer_to_server(servicer, server)

    async with running_server(add) as channel:
        await PlatformTransfers(channel, 2.0).submit(BATCH)


async def test_who_gains_is_paid_by_the_master_and_who_loses_pays_him():
    servicer = Transfers()
    await submitted(servicer)
    (request,) = servicer.requests
    assert (request.source, request.ordering_key, request.currency_code) == ("allocation/profit", 64, "USD")
    assert request.request_id == str(REQUEST_ID)
    assert column(request.item_ids).tolist() == [5, 6]
    assert column(request.debit_account_ids).tolist() == [64, 102]
    assert column(request.credit_account_ids).tolist() == [101, 64]
    assert column(request.amounts_minor).tolist() == [250, 30]


async def test_a_refusal_arrives_as_what_it_was():
    with pytest.raises(KillSwitchOn):
        await submitted(Transfers(KillSwitchOn()))
