"""Orders, positions, closings and transfers: protos to domain and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apportion.api.common.v1 import money_pb2
from apportion.api.platform_groups.v1 import trading_pb2, transfers_pb2
from apportion.errors import InvalidArgument, Violation
from apportion.platform_groups.domain.closings import Closing
from apportion.platform_groups.domain.server_facts import Int64s, ServerPosition
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.domain.tokens import order_of
from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.errors import SelfTransfer
from apportion.platform_groups.operations.accept_transfers import DirectTransfer
from apportion.platform_groups.storage.orders import NewOrders
from apportion.platform_groups.storage.transfers import NewTransfers
from apportion.rpc import CHUNK_ROWS, Problems, column, from_timestamp, set_column, to_timestamp

SOURCE_LENGTH = 100
CAUSE_LENGTH = 200
SYMBOL_LENGTH = 32


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


def check_adjustment(request: transfers_pb2.AdjustBalanceRequest) -> None:
    problems = Problems()
    problems.positive(request.account_id, "account_id")
    problems.present(request, "amount")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()


def parse_transfer(request: transfers_pb2.TransferFundsRequest) -> DirectTransfer:
    problems = Problems()
    problems.positive(request.debit_account_id, "debit_account_id")
    problems.positive(request.credit_account_id, "credit_account_id")
    problems.present(request, "amount")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()
    if request.debit_account_id == request.credit_account_id:
        account_id = request.debit_account_id
        raise SelfTransfer(f"account {account_id} is on both sides", account_id=account_id)
    return DirectTransfer(
        debit_account_id=request.debit_account_id,
        credit_account_id=request.credit_account_id,
        currency_code=request.amount.currency_code,
        amount_minor=request.amount.amount_minor,
        cause=request.cause,
    )


def parse_transfers(request: transfers_pb2.BatchTransferFundsRequest, label: int) -> NewTransfers:
    count = len(request.item_ids)
    problems = Problems()
    problems.text(request.source, "source", longest=SOURCE_LENGTH)
    problems.not_negative(request.ordering_key, "ordering_key")
    problems.within(count, 1, CHUNK_ROWS, "item_ids")
    for name in ("debit_account_ids", "credit_account_ids", "amounts_minor"):
        problems.require(len(getattr(request, name)) == count, name, f"must have {count} rows")
    problems.raise_if_any()
    transfers = NewTransfers(
        label=label,
        source=request.source,
        ordering_key=request.ordering_key,
        currency_code=request.currency_code,
        cause=request.source,
        item_ids=column(request.item_ids),
        debit_account_ids=column(request.debit_account_ids),
        credit_account_ids=column(request.credit_account_ids),
        amounts_minor=column(request.amounts_minor),
    )
    problems.require(len(np.unique(transfers.item_ids)) == count, "item_ids", "must be distinct")
    problems.require(bool((transfers.item_ids > 0).all()), "item_ids", "must be positive")
    problems.require(bool((transfers.debit_account_ids >= 0).all()), "debit_account_ids", "must not be negative")
    problems.require(bool((transfers.credit_account_ids >= 0).all()), "credit_account_ids", "must not be negative")
    is_elsewhere = transfers.credit_account_ids != transfers.debit_account_ids
    problems.require(bool(is_elsewhere.all()), "credit_account_ids", "must differ from the debit accounts")
    problems.require(bool((transfers.amounts_minor > 0).all()), "amounts_minor", "must be positive")
    problems.raise_if_any()
    return transfers


def render_transfer(transfer: Transfer) -> transfers_pb2.Transfer:
    return transfers_pb2.Transfer(
        transfer_id=transfer.transfer_id,
        source_id=transfer.source_id,
        debit_account_id=transfer.debit_account_id,
        credit_account_id=transfer.credit_account_id,
        amount=money_pb2.Money(currency_code=transfer.currency_code, amount_minor=transfer.amount_minor),
        state=int(transfer.state),  # type: ignore[arg-type]  # the domain's numbers are the proto's
        reason=transfer.reason,
        debit_deal_ticket=transfer.debit_deal_ticket,
        credit_deal_ticket=transfer.credit_deal_ticket,
        refund_deal_ticket=transfer.refund_deal_ticket,
        create_time=to_timestamp(transfer.create_time),
        finish_time=None if transfer.finish_time is None else to_timestamp(transfer.finish_time),
    )
