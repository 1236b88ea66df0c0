"""Numbers of the MT5 Web API that the simulator knows. Written from the public documentation, not from our client:
the two must agree because both are right, not because they share a table."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Retcode(IntEnum):
    DONE = 0
    ERROR = 2
    PARAMETERS = 3
    TOO_FREQUENT = 12
    NOT_FOUND = 13
    PARTIAL = 14
    INVALID_ACCOUNT = 1001
    LOGIN_EXISTS = 3004
    BAD_PASSWORD = 3006
    HAS_POSITIONS = 3008
    OTHER_CURRENCY = 3010
    AMOUNT_LIMIT = 4005
    REQUOTE = 10004
    REJECTED = 10006
    REQUEST_DONE = 10009
    REQUEST_TIMEOUT = 10012
    INVALID_REQUEST = 10013
    INVALID_VOLUME = 10014
    INVALID_STOPS = 10016
    TRADE_DISABLED = 10017
    NO_MONEY = 10019
    NO_PRICES = 10021
    TOO_MANY_REQUESTS = 10024
    NO_CHANGES = 10025
    FILL_MODE = 10030
    POSITION_CLOSED = 10036
    INVALID_CLOSE_VOLUME = 10038
    POSITION_LIMIT = 10040
    LONG_ONLY = 10042
    SHORT_ONLY = 10043
    CLOSE_ONLY = 10044
    UNSUPPORTED = 12002


RETCODE_TEXT: dict[int, str] = {
    0: "Done",
    2: "Common error",
    3: "Invalid parameters",
    8: "Not enough permissions",
    12: "Too frequent requests",
    13: "Not found",
    14: "Partial error",
    1001: "Invalid account",
    3004: "User already exists",
    3006: "Invalid account password",
    3008: "User has open positions or orders",
    3010: "Different currency",
    4005: "Limit of the operation amount",
    10004: "Requote",
    10006: "Request rejected",
    10009: "Request completed",
    10012: "Request timed out",
    10013: "Invalid request",
    10014: "Invalid volume",
    10015: "Invalid price",
    10016: "Invalid stops",
    10017: "Trade is disabled",
    10018: "Market is closed",
    10019: "Not enough money",
    10020: "Price changed",
    10021: "No prices",
    10024: "Too many trade requests",
    10025: "No changes in request",
    10030: "Unsupported filling mode",
    10036: "Position already closed",
    10038: "Invalid close volume",
    10040: "Position limit reached",
    10042: "Only long positions allowed",
    10043: "Only short positions allowed",
    10044: "Only position closing allowed",
    12002: "Unsupported command",
}


def retcode_line(retcode: int) -> str:
    """`"10019 Not enough money"`, as the API prints a return code."""
    return f"{int(retcode)} {RETCODE_TEXT.get(int(retcode), 'Error')}"


class Refused(Exception):
    """The trading server says no, with a return code."""

    def __init__(self, retcode: int) -> None:
        super().__init__(retcode_line(retcode))
        self.retcode = int(retcode)


class Side(IntEnum):
    """Position.Action, and the Type of a market request."""

    BUY = 0
    SELL = 1

    @property
    def opposite(self) -> Side:
        return Side(1 - self)


class DealAction(IntEnum):
    BUY = 0
    SELL = 1
    BALANCE = 2
    CREDIT = 3
    CHARGE = 4
    CORRECTION = 5
    BONUS = 6


BALANCE_ACTIONS = frozenset(range(2, 7))
CREDIT_ACTIONS = frozenset({DealAction.CREDIT, DealAction.BONUS})
"""These move Credit; the other balance actions move Balance."""


class Entry(IntEnum):
    IN = 0
    OUT = 1
    IN_OUT = 2


class Reason(IntEnum):
    CLIENT = 0
    DEALER = 2
    STOP_LOSS = 3
    TAKE_PROFIT = 4
    STOP_OUT = 5


class RequestAction(IntEnum):
    EXECUTE = 200
    MODIFY_POSITION = 202


class RequestFlags(IntFlag):
    CLOSE = 0x1
    SKIP_MARGIN_CHECK = 0x400


class Rights(IntFlag):
    ENABLED = 0x1
    TRADE_DISABLED = 0x4


DEFAULT_RIGHTS = 483


class MarginMode(IntEnum):
    """How a group keeps positions; there is no exchange mode (1) here."""

    NETTING = 0
    HEDGING = 2


class TradeMode(IntEnum):
    DISABLED = 0
    LONG_ONLY = 1
    SHORT_ONLY = 2
    CLOSE_ONLY = 3
    FULL = 4


class StopOutActivation(IntEnum):
    NONE = 0
    MARGIN_CALL = 1
    STOP_OUT = 2


ORDER_STATE_FILLED = 4
COMMENT_LENGTH = 31
VOLUME_UNIT_E8 = 10_000
"""`Volume` counts 1/10 000 lot, `VolumeExt` 1e-8 lot."""
OUTSTANDING_REQUESTS = 128
PAGE_SIZE = 100
