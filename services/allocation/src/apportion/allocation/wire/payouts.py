"""Results of our transfers, and how they are called at platform-groups."""

from __future__ import annotations

from apportion.allocation.domain.payouts import PayoutResult, PayoutState
from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2

SOURCE = "allocation/profit"
TRANSFERS = events_pb2.TransfersUpdated.DESCRIPTOR.full_name
# PENDING and DEBITED are on the way to one of these; what was reversed moved nothing in the end.
ENDS = {
    transfers_pb2.TRANSFER_STATE_DONE: PayoutState.PAID,
    transfers_pb2.TRANSFER_STATE_REJECTED: PayoutState.REFUSED,
    transfers_pb2.TRANSFER_STATE_REVERSED: PayoutState.REFUSED,
}


def parse_payout_results(payload: bytes) -> list[PayoutResult]:
    """Our transfers that ended; those on their way and those of other sources are left out."""
    message = events_pb2.TransfersUpdated.FromString(payload)
    if message.source != SOURCE:
        return []
    rows = zip(message.item_ids, message.transfer_ids, message.states, message.reason_indexes, strict=True)
    return [
        PayoutResult(item_id, transfer_id, ENDS[transfers_pb2.TransferState.ValueType(state)], message.reasons[index])
        for item_id, transfer_id, state, index in rows
        if state in ENDS
    ]
