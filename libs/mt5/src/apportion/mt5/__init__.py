"""Client of the MetaTrader 5 Web API (HTTPS form)."""

from __future__ import annotations

from apportion.mt5.connection import Caller, Connection
from apportion.mt5.dealer import Confirmation, DealerRequest, ModifyRequest
from apportion.mt5.endpoint import Endpoint
from apportion.mt5.errors import (
    ConnectionLost,
    LoginRefused,
    Mt5Error,
    NotSent,
    OutcomeUnknown,
    Refused,
    ServerNotGenuine,
    UnexpectedReply,
)
from apportion.mt5.pool import Pool
from apportion.mt5.retcodes import Retcode, retcode_name

__all__ = [
    "Caller",
    "Confirmation",
    "Connection",
    "ConnectionLost",
    "DealerRequest",
    "Endpoint",
    "LoginRefused",
    "ModifyRequest",
    "Mt5Error",
    "NotSent",
    "OutcomeUnknown",
    "Pool",
    "Refused",
    "Retcode",
    "ServerNotGenuine",
    "UnexpectedReply",
    "retcode_name",
]
