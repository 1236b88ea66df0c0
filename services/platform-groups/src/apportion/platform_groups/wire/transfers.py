"""Transfers: protos to domain and back."""

from __future__ import annotations

import numpy as np

from apportion.api.common.v1 import money_pb2
from apportion.api.platform_groups.v1 import transfers_pb2
from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.errors import SelfTransfer
from apportion.platform_groups.operations.accept_transfers import DirectTransfer
from apportion.platform_groups.storage.transfers import NewTransfers
from apportion.platform_groups.wire.lengths import CAUSE_LENGTH, SOURCE_LENGTH
from apportion.rpc import CHUNK_ROWS, Problems, column, to_timestamp


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
