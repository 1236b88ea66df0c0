"""Accept transfers: durable rows with their legs; the workers do the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.transfers import check_parties
from apportion.platform_groups.errors import DedupeConflict
from apportion.platform_groups.storage.accounts import load_accounts
from apportion.platform_groups.storage.kill_switches import require_released
from apportion.platform_groups.storage.orders import ring_egress
from apportion.platform_groups.storage.transfers import NewTransfers, find_conflict, insert_transfers
from apportion.storage import RequestKey, claim_request, store_answer, transaction

DIRECT_SOURCE = "transfer"
INITIAL_SOURCE = "initial"


@dataclass(frozen=True, slots=True)
class AcceptedTransfers:
    """The stored answer of a batch."""

    accepted_count: int
    known_count: int


@dataclass(frozen=True, slots=True)
class DirectTransfer:
    """One transfer asked for by itself. Account 0 is the broker; the amount is above 0."""

    debit_account_id: int
    credit_account_id: int
    currency_code: str
    amount_minor: int
    cause: str


@dataclass(frozen=True, slots=True)
class TransferRef:
    """The stored answer of a single transfer."""

    transfer_id: int


async def batch_transfer_funds(
    engine: AsyncEngine, key: RequestKey, transfers: NewTransfers, *, now: datetime
) -> AcceptedTransfers:
    """Items known from an earlier call are counted, not repeated.

    Raises NotFound, AccountNotOpen, CurrencyMismatch, SelfTransfer, AmountRange, DedupeConflict, KillSwitchOn.
    """
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, AcceptedTransfers, now=now)
        if stored is not None:
            return stored
        await _check(tx, transfers)
        inserted = await insert_transfers(tx, transfers, now)
        if len(inserted.transfer_ids) < len(transfers.item_ids):
            await _refuse_changed(tx, transfers)
        await ring_egress(tx, inserted.trading_server_ids)
        accepted = len(inserted.transfer_ids)
        answer = AcceptedTransfers(accepted, len(transfers.item_ids) - accepted)
        await store_answer(tx, key, answer)
        return answer


async def accept_transfer(engine: AsyncEngine, key: RequestKey, transfer: DirectTransfer, *, now: datetime) -> int:
    """The id of the transfer that this request is. Raises what `batch_transfer_funds` does.

    Its source is the request id, its aggregate the account that pays, or else the one that is paid.
    """
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, TransferRef, now=now)
        if stored is not None:
            return stored.transfer_id
        row = NewTransfers(
            label=key.label,
            source=f"{DIRECT_SOURCE}/{UUID(key.request_id)}",
            ordering_key=transfer.debit_account_id or transfer.credit_account_id,
            currency_code=transfer.currency_code,
            cause=transfer.cause,
            item_ids=np.array([1]),
            debit_account_ids=np.array([transfer.debit_account_id]),
            credit_account_ids=np.array([transfer.credit_account_id]),
            amounts_minor=np.array([transfer.amount_minor]),
        )
        await _check(tx, row)
        inserted = await insert_transfers(tx, row, now)
        await ring_egress(tx, inserted.trading_server_ids)
        await store_answer(tx, key, TransferRef(inserted.transfer_ids[0]))
        return inserted.transfer_ids[0]


async def deposit_initial_balance(tx: AsyncConnection, account: Account, *, now: datetime) -> None:
    """The first balance of a new account, as a deposit of its own; named after the account, so it is made once."""
    if not account.initial_balance_minor:
        return
    row = NewTransfers(
        label=account.label,
        source=INITIAL_SOURCE,
        ordering_key=account.account_id,
        currency_code=account.currency_code,
        cause="initial balance",
        item_ids=np.array([account.account_id]),
        debit_account_ids=np.array([0]),
        credit_account_ids=np.array([account.account_id]),
        amounts_minor=np.array([account.initial_balance_minor]),
    )
    inserted = await insert_transfers(tx, row, now)
    await ring_egress(tx, inserted.trading_server_ids)


async def _check(tx: AsyncConnection, transfers: NewTransfers) -> None:
    """Every party is checked before the first row is written. Deposits go on while the kill switch is on."""
    if transfers.debit_account_ids.any():
        await require_released(tx, transfers.label)
    pairs = zip(transfers.debit_account_ids.tolist(), transfers.credit_account_ids.tolist(), strict=True)
    parties = list(pairs)
    accounts = await load_accounts(tx, transfers.label, {account for pair in parties for account in pair if account})
    for (debit_id, credit_id), amount in zip(parties, transfers.amounts_minor.tolist(), strict=True):
        debit, credit = accounts.get(debit_id), accounts.get(credit_id)
        known = debit or credit
        digits = known.currency_digits if known else 0
        check_parties(debit, credit, transfers.currency_code, amount, digits)


async def _refuse_changed(tx: AsyncConnection, transfers: NewTransfers) -> None:
    item = await find_conflict(tx, transfers)
    if item is not None:
        raise DedupeConflict(
            f"{transfers.source}/{item} exists with other content", source=transfers.source, item_id=item
        )
