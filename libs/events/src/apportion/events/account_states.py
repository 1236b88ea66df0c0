"""Account states asked of a trading server, where those that it publishes as weather are not heard."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc, events_pb2
from apportion.rpc import call_options


async def ask_account_states(
    platform: accounts_pb2_grpc.AccountsServiceStub, label: int, trading_server_id: int, *, call_seconds: float
) -> events_pb2.AccountStates:
    """The states of all accounts of a server, as one snapshot that is as old as the first page.

    `call_seconds` is the deadline of each page. Raises the error of a call.
    """
    request = accounts_pb2.GetAccountStatesRequest(trading_server_id=trading_server_id)
    answer = await platform.GetAccountStates(request, **call_options(label, call_seconds))
    states = answer.states
    while answer.next_after_account_id:
        request.after_account_id = answer.next_after_account_id
        answer = await platform.GetAccountStates(request, **call_options(label, call_seconds))
        answer.states.ClearField("observed_time")
        answer.states.ClearField("server_time_ms")
        states.MergeFrom(answer.states)
    return states
