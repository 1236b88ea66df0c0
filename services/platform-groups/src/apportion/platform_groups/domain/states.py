"""States and kinds. The numbers are those of the protos, so that a column of states travels as it is."""

from __future__ import annotations

from enum import IntEnum


class ServerType(IntEnum):
    MT5 = 1
    MT4 = 2
    CTRADER = 3


class ServerKind(IntEnum):
    DEMO = 1
    LIVE = 2


class ConnectionState(IntEnum):
    CONNECTING = 1
    ONLINE = 2
    OFFLINE = 3


class GroupState(IntEnum):
    ENABLED = 1
    DRAINING = 2
    DISABLED = 3


class MarginMode(IntEnum):
    UNKNOWN = 0
    """None that we know."""
    HEDGING = 1
    NETTING = 2


class AccountKind(IntEnum):
    WALLET = 1
    MASTER = 2
    INVESTMENT = 3


class AccountState(IntEnum):
    CREATING = 1
    OPEN = 2
    DISABLED = 3
    """Not on the trading server any more, or not in its group."""
    FAILED = 4


class AccountAccess(IntEnum):
    FULL = 1
    READ_ONLY = 2


class OrderPurpose(IntEnum):
    OPEN = 1
    CLOSE = 2
    MODIFY = 3


class OrderState(IntEnum):
    READY = 1
    SENDING = 2
    UNKNOWN = 3
    FILLED = 4
    PARTIALLY_FILLED = 5
    REJECTED = 6
    EXPIRED = 7


class TransferState(IntEnum):
    PENDING = 1
    DEBITED = 2
    DONE = 3
    REJECTED = 4
    REVERSED = 5


class LegKind(IntEnum):
    DEBIT = 1
    CREDIT = 2
    REFUND = 3


class LegState(IntEnum):
    WAITING = 1
    """Its turn has not come: a credit before its debit is booked."""
    READY = 2
    SENDING = 3
    UNKNOWN = 4
    DONE = 5
    REJECTED = 6

    @property
    def is_final(self) -> bool:
        return self in (LegState.DONE, LegState.REJECTED)


class ClosingState(IntEnum):
    RUNNING = 1
    FLAT = 2


class DealAction(IntEnum):
    TRADE = 1
    BALANCE = 2
    CREDIT = 3


class DealEntry(IntEnum):
    IN = 1
    OUT = 2
    IN_OUT = 3
    OUT_BY = 4
