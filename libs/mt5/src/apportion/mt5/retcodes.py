"""Return codes of the Web API and what they mean for a caller."""

from __future__ import annotations

from enum import IntEnum


class Retcode(IntEnum):
    DONE = 0
    OK_NONE = 1
    ERROR = 2
    PARAMETERS = 3
    DATA = 4
    DISK = 5
    MEMORY = 6
    NETWORK = 7
    PERMISSIONS = 8
    TIMEOUT = 9
    CONNECTION = 10
    NO_SERVICE = 11
    TOO_FREQUENT = 12
    NOT_FOUND = 13
    PARTIAL = 14
    SHUTDOWN = 15
    INVALID_CLIENT = 1000
    INVALID_ACCOUNT = 1001
    ACCOUNT_DISABLED = 1002
    NO_MANAGER = 1011
    ADDRESS_BLOCKED = 1012
    WRONG_MANAGER_TYPE = 1024
    API_DISABLED = 1034
    LOGINS_EXHAUSTED = 3002
    LOGIN_RESERVED = 3003
    USER_EXISTS = 3004
    BAD_PASSWORD = 3006
    USER_LIMIT = 3007
    HAS_POSITIONS = 3008
    OTHER_SERVER = 3009
    OTHER_CURRENCY = 3010
    AMOUNT_LIMIT = 4005
    REQUEST_ON_THE_WAY = 10001
    REQUEST_ACCEPTED = 10002
    REQUEST_PROCESSED = 10003
    REQUOTE = 10004
    PRICES = 10005
    REJECTED = 10006
    CANCELLED = 10007
    PLACED = 10008
    REQUEST_DONE = 10009
    REQUEST_PARTIAL = 10010
    REQUEST_ERROR = 10011
    REQUEST_TIMEOUT = 10012
    INVALID_REQUEST = 10013
    INVALID_VOLUME = 10014
    INVALID_PRICE = 10015
    INVALID_STOPS = 10016
    TRADE_DISABLED = 10017
    MARKET_CLOSED = 10018
    NO_MONEY = 10019
    PRICE_CHANGED = 10020
    NO_PRICE = 10021
    TOO_MANY_REQUESTS = 10024
    NO_CHANGES = 10025
    LOCKED = 10028
    FROZEN = 10029
    FILL_MODE = 10030
    NO_CONNECTION = 10031
    VOLUME_LIMIT = 10034
    POSITION_CLOSED = 10036
    CLOSE_VOLUME = 10038
    CLOSE_ORDER_EXISTS = 10039
    POSITION_LIMIT = 10040
    LONG_ONLY = 10042
    SHORT_ONLY = 10043
    CLOSE_ONLY = 10044
    FIFO = 10045
    HEDGING_PROHIBITED = 10046
    UNSUPPORTED_COMMAND = 12002


FILLED = frozenset({Retcode.PLACED, Retcode.REQUEST_DONE, Retcode.REQUEST_PARTIAL})
PENDING = frozenset({Retcode.REQUEST_ON_THE_WAY, Retcode.REQUEST_ACCEPTED, Retcode.REQUEST_PROCESSED})
BACK_PRESSURE = frozenset({Retcode.TOO_FREQUENT, Retcode.TOO_MANY_REQUESTS})
"""The command was not taken: it may be given again, later."""
DOUBTFUL = frozenset(
    {
        Retcode.OK_NONE,
        Retcode.ERROR,
        Retcode.DISK,
        Retcode.MEMORY,
        Retcode.NETWORK,
        Retcode.TIMEOUT,
        Retcode.CONNECTION,
        Retcode.SHUTDOWN,
        Retcode.REQUEST_TIMEOUT,
        Retcode.NO_CONNECTION,
    }
)
"""No refusals of a write: it passes through several servers, and one that lost the next may have passed it on."""


def retcode_name(retcode: int) -> str:
    """`10019` → `NO_MONEY`; an unlisted code keeps its number."""
    try:
        return Retcode(retcode).name
    except ValueError:
        return f"RETCODE_{retcode}"


def parse_retcode(value: str | int) -> int:
    """`"10009 Done"`, `"10009"` and `10009` → 10009. Raises ValueError for anything else."""
    if isinstance(value, int):
        return value
    return int(value.split(" ", 1)[0])
