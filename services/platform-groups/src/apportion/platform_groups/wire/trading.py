"""Orders, positions and closings: protos to domain and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apportion.api.platform_groups.v1 import trading_pb2
from apportion.errors import InvalidArgument, Violation
from apportion.platform_groups.domain.closings import Closing
from apportion.platform_groups.domain.server_facts import Int64s, ServerPosition
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.domain.tokens import order_of
from apportion.platform_groups.storage.orders import NewOrders
from apportion.platform_groups.wire.lengths import CAUSE_LENGTH, SOURCE_LENGTH, SYMBOL_LENGTH
from apportion.rpc import CHUNK_ROWS, Problems, column, from_timestamp, set_column, to_timestamp


def parse_orders(request: trading_pb2.SubmitOrdersRequest, label: int) -> NewOrders:
    count = len(request.item_ids)
    problems = Problems()
    problems.text(request.source_id, "source_id", longest=SOURCE_LENGTH)
    problems.not_negative(request.ordering_key, "ordering_key")
    problems.one_of(request.purpose, tuple(OrderPurpose), "purpose")
    problems.within(count, 1, CHUNK_ROWS, "item_ids")
    opens = request.purpose == trading_pb2.ORDER_PURPOSE_OPEN
    modifies = request.purpose == trading_pb2.ORDER_PURPOSE_MODIFY
    for name, sizes in (
        ("account_ids", (count,)),
        ("volumes_e8", (0,) if modifies else (count,)),
        ("position_tickets", (0,) if opens else (count,)),
        ("symbol_indexes", (0, count)),
        ("stop_losses_e8", (0, count)),
        ("take_profits_e8", (0, count)),
        ("reference_prices_e8", (0, count) if opens else (0,)),
        ("max_slippages_e8", (0, count) if opens else (0,)),
    ):
        problems.require(len(getattr(request, name)) in sizes, name, f"must have {sizes[-1]} rows")
    problems.require(not opens or request.HasField("not_after_time"), "not_after_time", "is required for opens")
    problems.not_negative(request.halt_epoch, "halt_epoch")
    for index, symbol in enumerate(request.symbols):
        problems.text(symbol, f"symbols[{index}]", longest=SYMBOL_LENGTH)
    problems.require(bool(request.symbols), "symbols", "must not be empty")
    problems.raise_if_any()
    orders = NewOrders(
        label=label,
        source_id=request.source_id,
        ordering_key=request.ordering_key,
        purpose=OrderPurpose(request.purpose),
        not_after_time=from_timestamp(request.not_after_time, "not_after_time") if opens else None,
        item_ids=column(request.item_ids),
        account_ids=column(request.account_ids),
        symbols=_symbols(request, count),
        volumes_e8=_filled(request.volumes_e8, count),
        position_tickets=_filled(request.position_tickets, count),
        stop_losses_e8=_filled(request.stop_losses_e8, count),
        take_profits_e8=_filled(request.take_profits_e8, count),
        reference_prices_e8=_filled(request.reference_prices_e8, count),
        max_slippages_e8=_filled(request.max_slippages_e8, count),
        halt_epoch=request.halt_epoch if opens and request.HasField("halt_epoch") else None,
    )
    _check_columns(orders)
    return orders


def _check_columns(orders: NewOrders) -> None:
    problems = Problems()
    problems.require(len(np.unique(orders.item_ids)) == len(orders.item_ids), "item_ids", "must be distinct")
    problems.require(bool((orders.account_ids > 0).all()), "account_ids", "must be positive")
    modifies = orders.purpose is OrderPurpose.MODIFY
    problems.require(modifies or bool((orders.volumes_e8 != 0).all()), "volumes_e8", "must not be 0")
    problems.require(not modifies or bool((orders.position_tickets > 0).all()), "position_tickets", "must be positive")
    problems.require(bool((orders.position_tickets >= 0).all()), "position_tickets", "must not be negative")
    distinct = not modifies or len(np.unique(orders.position_tickets)) == len(orders.position_tickets)
    problems.require(distinct, "position_tickets", "must be distinct")
    problems.require(bool((orders.stop_losses_e8 >= 0).all()), "stop_losses_e8", "must not be negative")
    for name in ("take_profits_e8", "reference_prices_e8", "max_slippages_e8"):
        problems.require(bool((getattr(orders, name) >= 0).all()), name, "must not be negative")
    problems.raise_if_any()


def _symbols(request: trading_pb2.SubmitOrdersRequest, count: int) -> list[str]:
    indexes = request.symbol_indexes or [0] * count
    symbols = list(request.symbols)
    if min(indexes) < 0 or max(indexes) >= len(symbols):
        raise InvalidArgument(violations=(Violation("symbol_indexes", "must point into symbols"),))
    return [symbols[index] for index in indexes]


def _filled(values: Sequence[int], count: int) -> Int64s:
    return column(values) if len(values) else np.zeros(count, dtype=np.int64)


def render_position(position: ServerPosition, account_id: int) -> trading_pb2.Position:
    return trading_pb2.Position(
        position_ticket=position.position_ticket,
        account_id=account_id,
        symbol=position.symbol,
        volume_e8=position.volume_e8,
        open_price_e8=position.open_price_e8,
        stop_loss_e8=position.stop_loss_e8,
        take_profit_e8=position.take_profit_e8,
        profit_minor=position.profit_minor,
        swap_minor=position.swap_minor,
        order_id=order_of(position.comment),
        server_time_ms=position.server_time_ms,
    )


def parse_position_accounts(request: trading_pb2.BatchGetPositionsRequest) -> list[int]:
    account_ids = list(request.account_ids)
    problems = Problems()
    problems.within(len(account_ids), 1, CHUNK_ROWS, "account_ids")
    problems.require(len(set(account_ids)) == len(account_ids), "account_ids", "must be distinct")
    problems.raise_if_any()
    return account_ids


def render_positions(found: Sequence[tuple[int, ServerPosition]]) -> trading_pb2.PositionColumns:
    """`found`: (account id, position), in the order of the columns."""
    positions = [position for _, position in found]
    symbols = sorted({position.symbol for position in positions})
    index_of = {symbol: index for index, symbol in enumerate(symbols)}
    columns = trading_pb2.PositionColumns(symbols=symbols)
    for name, values in (
        ("account_ids", [account_id for account_id, _ in found]),
        ("position_tickets", [position.position_ticket for position in positions]),
        ("symbol_indexes", [index_of[position.symbol] for position in positions]),
        ("volumes_e8", [position.volume_e8 for position in positions]),
        ("open_prices_e8", [position.open_price_e8 for position in positions]),
        ("stop_losses_e8", [position.stop_loss_e8 for position in positions]),
        ("take_profits_e8", [position.take_profit_e8 for position in positions]),
        ("order_ids", [order_of(position.comment) for position in positions]),
        ("profits_minor", [position.profit_minor for position in positions]),
        ("swaps_minor", [position.swap_minor for position in positions]),
    ):
        set_column(columns, name, values)
    return columns


def render_closing(closing: Closing) -> trading_pb2.Closing:
    message = trading_pb2.Closing(
        closing_id=closing.closing_id,
        account_id=closing.account_id,
        state=int(closing.state),  # type: ignore[arg-type]  # the domain's numbers are the proto's
        attempt_count=closing.attempt_count,
        last_error=closing.last_error,
        create_time=to_timestamp(closing.create_time),
        flat_time=None if closing.flat_time is None else to_timestamp(closing.flat_time),
    )
    set_column(message, "position_tickets", closing.position_tickets)
    set_column(message, "prices_e8", closing.prices_e8)
    set_column(message, "volumes_e8", closing.volumes_e8)
    set_column(message, "server_times_ms", closing.server_times_ms)
    return message


def check_close_all(request: trading_pb2.CloseAllPositionsRequest) -> None:
    problems = Problems()
    problems.positive(request.account_id, "account_id")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()


def check_kill_switch(request: trading_pb2.SetKillSwitchRequest) -> None:
    problems = Problems()
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()


def check_void_opens(request: trading_pb2.VoidOpensRequest) -> None:
    problems = Problems()
    problems.not_negative(request.ordering_key, "ordering_key")
    problems.positive(request.halt_epoch, "halt_epoch")
    problems.raise_if_any()
