"""grpc.aio servers and channels with deadlines, identity, typed errors and health."""

from __future__ import annotations

from apportion.rpc.caller import SUITE_LABEL, Caller, caller
from apportion.rpc.channel import CallOptions, call_options, open_channel
from apportion.rpc.columns import CHUNK_ROWS, check_lengths, column, set_column
from apportion.rpc.fields import given
from apportion.rpc.ids import parse_filters, parse_id
from apportion.rpc.peers import Peers
from apportion.rpc.problems import Problems
from apportion.rpc.requests import request_key
from apportion.rpc.server import Server
from apportion.rpc.timestamps import from_timestamp, to_timestamp
from apportion.rpc.tls import Tls
from apportion.runtime.context import RequestKey

__all__ = [
    "CHUNK_ROWS",
    "SUITE_LABEL",
    "CallOptions",
    "Caller",
    "Peers",
    "Problems",
    "RequestKey",
    "Server",
    "Tls",
    "call_options",
    "caller",
    "check_lengths",
    "column",
    "from_timestamp",
    "given",
    "open_channel",
    "parse_filters",
    "parse_id",
    "request_key",
    "set_column",
    "to_timestamp",
]
