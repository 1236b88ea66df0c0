"""What became of a fee."""

from __future__ import annotations

import enum

from apportion.payments import PaymentState


class FeeType(enum.IntEnum):
    """Numbers as on the wire."""

    TRADE = 1


class ChargeState(enum.IntEnum):
    """Numbers as on the wire. NOTHING_DUE has no charge: its calculation gave 0."""

    PENDING = 1
    PAID = 2
    OUTSTANDING = 3
    NOTHING_DUE = 4
    WRITTEN_OFF = 5


SHOWN = {
    PaymentState.READY: ChargeState.PENDING,
    PaymentState.SUBMITTED: ChargeState.PENDING,
    PaymentState.PAID: ChargeState.PAID,
    PaymentState.REFUSED: ChargeState.OUTSTANDING,
    PaymentState.WRITTEN_OFF: ChargeState.WRITTEN_OFF,
}
"""How the payment of a charge is shown."""
