"""Account states: domain to protos."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import events_pb2
from apportion.platform_groups.domain.account_states import COLUMNS, AccountStates
from apportion.rpc import set_column, to_timestamp


def render_states(states: AccountStates) -> events_pb2.AccountStates:
    message = events_pb2.AccountStates(
        trading_server_id=states.trading_server_id,
        observed_time=to_timestamp(states.observed_time),
        server_time_ms=states.server_time_ms,
    )
    for index, name in enumerate(COLUMNS):
        set_column(message, name, states.rows[:, index])
    return message
