"""Payments as platform-groups gets them, and its results as we read them."""

from __future__ import annotations

import pytest
from payments_world import DONE, REJECTED, SOURCE

from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2, transfers_pb2_grpc
from apportion.errors import DomainError, KillSwitchOn, MalformedMessage
from apportion.payments import PaymentState, PlatformTransfers, parse_results
from apportion.payments.batches import batch_of
from apportion.rpc import caller, column
from apportion.testing.servers import running_server


class Server(transfers_pb2_grpc.TransfersServiceServicer):
    def __init__(self, refusal: DomainError | None = None) -> None:
        self.requests: list[tuple[int, transfers_pb2.BatchTransferFundsRequest]] = []
        self.refusal = refusal

    async def BatchTransferFunds(self, request, context):
        if self.refusal is not None:
            raise self.refusal
        self.requests.append((caller().label, request))
        return transfers_pb2.BatchTransferFundsResponse(accepted_count=1, conflicting_item_ids=[6])

    async def unexpected(self, request, context):
        raise AssertionError(f"unexpected call: {request!r}")

    AdjustBalance = TransferFunds = GetTransfer = ListTransfers = unexpected


BATCH = batch_of(SOURCE, 2, 64, "USD", [5, 6], [64, 102], [101, 64], [250, 30])


async def submitted(servicer: Server) -> list[int]:
    def add(server) -> None:
        transfers_pb2_grpc.add_TransfersServiceServicer_to_server(servicer, server)

    async with running_server(add) as channel:
        return await PlatformTransfers(channel, SOURCE, 2.0).submit(BATCH)


async def test_a_batch_arrives_as_it_is_and_taken_items_come_back():
    servicer = Server()
    assert await submitted(servicer) == [6]
    [(label, request)] = servicer.requests
    assert (label, request.source, request.ordering_key, request.currency_code) == (2, SOURCE, 64, "USD")
    assert request.request_id == str(BATCH.request_id)
    columns = (request.item_ids, request.debit_account_ids, request.credit_account_ids, request.amounts_minor)
    assert [column(values).tolist() for values in columns] == [[5, 6], [64, 102], [101, 64], [250, 30]]


async def test_a_refusal_arrives_as_what_it_was():
    with pytest.raises(KillSwitchOn):
        await submitted(Server(KillSwitchOn()))


def test_the_request_id_is_that_of_the_items():
    rest = ([64], [101], [1])
    one, again, other = (batch_of(SOURCE, 1, 64, "USD", [item], *rest) for item in (1, 1, 2))
    assert one.request_id == again.request_id != other.request_id
    assert one.request_id != batch_of(SOURCE, 2, 64, "USD", [1], *rest).request_id
    assert one.request_id != batch_of("fees", 1, 64, "USD", [1], *rest).request_id


def results(**changes) -> bytes:
    fields = {
        "source": SOURCE,
        "item_ids": [1, 2, 3, 4, 5],
        "transfer_ids": [11, 12, 13, 14, 15],
        "states": [1, 2, DONE, REJECTED, transfers_pb2.TRANSFER_STATE_REVERSED],
        "reason_indexes": [0, 0, 0, 1, 1],
        "reasons": ["", "NO_MONEY"],
    }
    return events_pb2.TransfersUpdated(**fields | changes).SerializeToString()


def test_only_ends_of_our_transfers_count():
    found = parse_results(results(), SOURCE)
    assert (found.item_ids, found.transfer_ids) == ([3, 4, 5], [13, 14, 15])
    assert found.states == [PaymentState.PAID, PaymentState.REFUSED, PaymentState.REFUSED]
    assert found.reasons == ["", "NO_MONEY", "NO_MONEY"]
    assert parse_results(results(source="operator"), SOURCE).item_ids == []


@pytest.mark.parametrize(
    "changes", [{"states": [3]}, {"reason_indexes": [0, 0, 0, 0, 2]}, {"reason_indexes": [-1] * 5}]
)
def test_results_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(MalformedMessage):
        parse_results(results(**changes), SOURCE)
