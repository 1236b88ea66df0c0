"""Enumerations of the Web API, with the numbers of its documentation."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Side(IntEnum):
    """`Position.Action` and the `Type` of a market request."""

    BUY = 0
    SELL = 1


class DealAction(IntEnum):
    BUY = 0
    SELL = 1
    BALANCE = 2
    CREDIT = 3
    CHARGE = 4
    CORRECTION = 5
    BONUS = 6


CREDIT_ACTIONS = frozenset({DealAction.CREDIT, DealAction.BONUS, 20})
"""Deals of these actions move Credit, not Balance."""


class Reason(IntEnum):
    """Where a deal or position came from."""

    CLIENT = 0
    EXPERT = 1
    DEALER = 2
    STOP_LOSS = 3
    TAKE_PROFIT = 4
    STOP_OUT = 5
    ROLLOVER = 6
    EXTERNAL_CLIENT = 7
    VARIATION_MARGIN = 8
    GATEWAY = 9
    SIGNAL = 10
    SETTLEMENT = 11
    TRANSFER = 12
    SYNCHRONIZATION = 13
    EXTERNAL_SERVICE = 14
    MIGRATION = 15
    MOBILE = 16
    WEB = 17
    SPLIT = 18


class RequestAction(IntEnum):
    EXECUTE = 200
    MODIFY_POSITION = 202


class RequestFlags(IntFlag):
    NONE = 0
    CLOSE = 0x1
    SKIP_MARGIN_CHECK = 0x400


class FillType(IntEnum):
    FILL_OR_KILL = 0
    IMMEDIATE_OR_CANCEL = 1
    RETURN = 2


class ExecutionMode(IntEnum):
    """`Symbol.ExecMode`."""

    REQUEST = 0
    INSTANT = 1
    MARKET = 2
    EXCHANGE = 3


class FillFlags(IntFlag):
    """`Symbol.FillFlags`: the fill types that its orders may have."""

    FILL_OR_KILL = 0x1
    IMMEDIATE_OR_CANCEL = 0x2


class Rights(IntFlag):
    """`User.Rights`; 0x8 and 0x200 are set by the server alone."""

    ENABLED = 0x1
    PASSWORD = 0x2
    TRADE_DISABLED = 0x4
    TRAILING = 0x20
    EXPERTS = 0x40
    OBSOLETE = 0x80
    REPORTS = 0x100


DEFAULT_RIGHTS = Rights.ENABLED | Rights.PASSWORD | Rights.TRAILING | Rights.EXPERTS | Rights.OBSOLETE | Rights.REPORTS


class MarginMode(IntEnum):
    NETTING = 0
    EXCHANGE = 1
    HEDGING = 2
