"""platform-groups, as payments see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import grpc
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2, transfers_pb2_grpc
from apportion.errors import MalformedMessage
from apportion.events import Handler, ReceivedEvent
from apportion.payments.payment import Backoff, PaymentBatch, PaymentResults, PaymentState
from apportion.payments.payments import Payments
from apportion.rpc import call_options, check_lengths, set_column
from apportion.runtime import Clock

log = structlog.get_logger()

TRANSFERS_UPDATED = events_pb2.TransfersUpdated.DESCRIPTOR.full_name
# PENDING and DEBITED are on the way to one of these; what was reversed moved nothing in the end.
ENDS = {
    transfers_pb2.TRANSFER_STATE_DONE: PaymentState.PAID,
    transfers_pb2.TRANSFER_STATE_REJECTED: PaymentState.REFUSED,
    transfers_pb2.TRANSFER_STATE_REVERSED: PaymentState.REFUSED,
}


class Transfers(Protocol):
    """Where payments are handed over."""

    async def submit(self, batch: PaymentBatch) -> Sequence[int]:
        """Returns when every item is durably there, now or earlier, but for those returned: their ids were used for
        something else. Raises DomainError when nobody can tell.
        """
        ...


class PlatformTransfers:
    """Batch transfers over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, source: str, call_seconds: float) -> None:
        self._stub = transfers_pb2_grpc.TransfersServiceStub(channel)
        self._source = source
        self._call_seconds = call_seconds

    async def submit(self, batch: PaymentBatch) -> Sequence[int]:
        """Results come back as events of the aggregate of the ordering key."""
        request = transfers_pb2.BatchTransferFundsRequest(
            request_id=str(batch.request_id),
            source=self._source,
            ordering_key=batch.ordering_key,
            currency_code=batch.currency_code,
        )
        set_column(request, "item_ids", batch.item_ids)
        set_column(request, "debit_account_ids", batch.debit_account_ids)
        set_column(request, "credit_account_ids", batch.credit_account_ids)
        set_column(request, "amounts_minor", batch.amounts_minor)
        answer = await self._stub.BatchTransferFunds(request, **call_options(batch.label, self._call_seconds))
        return list(answer.conflicting_item_ids)


def parse_results(payload: bytes, source: str) -> PaymentResults:
    """Transfers of the source that ended. Raises MalformedMessage."""
    message = events_pb2.TransfersUpdated.FromString(payload)
    columns = (message.item_ids, message.transfer_ids, message.states, message.reason_indexes)
    check_lengths(message, *columns)
    reasons = list(message.reasons) or [""]
    if any(not 0 <= index < len(reasons) for index in message.reason_indexes):
        raise MalformedMessage("a reason index is out of range", type=TRANSFERS_UPDATED)
    rows = [row for row in zip(*columns, strict=True) if row[2] in ENDS] if message.source == source else []
    return PaymentResults(
        item_ids=[row[0] for row in rows],
        transfer_ids=[row[1] for row in rows],
        states=[ENDS[transfers_pb2.TransferState.ValueType(row[2])] for row in rows],
        reasons=[reasons[row[3]] for row in rows],
    )


def transfer_handlers(payments: Payments, clock: Clock, retry: Backoff) -> Mapping[str, Handler]:
    """By the name of the payload message: what became of the payments.

    The aggregate of an event is an ordering key. Which payments it is about, its items say: other sources may have
    chosen the same key.
    """

    async def transfers_updated(tx: AsyncConnection, event: ReceivedEvent) -> None:
        results = parse_results(event.payload, payments.source)
        if not results.item_ids:
            return
        paid, refused = await payments.settle(tx, event.label, results, now=clock.now(), retry=retry)
        log.info("payments_settled", source=payments.source, label=event.label, paid_count=paid, refused_count=refused)

    return {TRANSFERS_UPDATED: transfers_updated}
