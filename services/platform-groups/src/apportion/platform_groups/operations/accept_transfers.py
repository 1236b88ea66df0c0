"""Accept transfers: durable rows with their legs; the workers do the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import DomainError
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.transfers import ACCOUNT_UNKNOWN, check_parties
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.accounts import find_accounts, load_accounts
from apportion.platform_groups.storage.egress import ring_egress
from apportion.platform_groups.storage.events import append_transfers_updated
from apportion.platform_groups.storage.kill_switches import require_released
from apportion.platform_groups.storage.transfers import NewTransfers, find_conflicts, insert_transfers
from apportion.storage import RequestKey, claim_request, store_answer, transaction

DIRECT_SOURCE = "transfer"
INITIAL_SOURCE = "initial"


@dataclass(frozen=True, slots=True)
class AcceptedTransfers:
    """The stored answer of a batch."""

    accepted_count: int
    known_count: int
    conflicting_item_ids: tuple[int, ...] = ()


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
    engine: AsyncEngine, new_id: NewId, key: RequestKey, transfers: NewTransfers, *, now: datetime
) -> AcceptedTransfers:
    """One bad item holds up none of the others: what becomes of each is data.

    Items known from an earlier call are counted, not repeated. A new one that cannot be carried out (an account is
    unknown, not open, in another currency or of other digits; the amount is out of range) is durably REJECTED at once,
    so that nothing can move under its id later. One that exists with other content is named, and stays as it is.
    Raises KillSwitchOn.
    """
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, AcceptedTransfers, now=now)
        if stored is not None:
            return stored
        await _require_released(tx, transfers)
        refusals = await _refusals(tx, transfers)
        inserted = await insert_transfers(tx, transfers, now, refusals=refusals)
        accepted, asked = len(inserted.transfer_ids), len(transfers.item_ids)
        conflicts = await find_conflicts(tx, transfers) if accepted < asked else []
        await append_transfers_updated(tx, inserted.rejected, new_id, now)
        await ring_egress(tx, inserted.trading_server_ids)
        answer = AcceptedTransfers(accepted, asked - accepted - len(conflicts), tuple(conflicts))
        await store_answer(tx, key, answer)
        return answer


async def accept_transfer(engine: AsyncEngine, key: RequestKey, transfer: DirectTransfer, *, now: datetime) -> int:
    """The id of the transfer that this request is.

    Raises NotFound, KillSwitchOn and what `check_parties` raises.

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
        await _require_released(tx, row)
        accounts = await load_accounts(tx, key.label, _parties(row))
        debit, credit = accounts.get(transfer.debit_account_id), accounts.get(transfer.credit_account_id)
        check_parties(debit, credit, transfer.currency_code, transfer.amount_minor)
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


async def _require_released(tx: AsyncConnection, transfers: NewTransfers) -> None:
    """Deposits go on while the kill switch is on."""
    if transfers.debit_account_ids.any():
        await require_released(tx, transfers.label)


async def _refusals(tx: AsyncConnection, transfers: NewTransfers) -> list[str]:
    """Why each item cannot be carried out, for ever; "" where it can."""
    accounts = await find_accounts(tx, transfers.label, _parties(transfers))
    return [
        _refusal(accounts, debit_id, credit_id, transfers.currency_code, amount_minor)
        for debit_id, credit_id, amount_minor in zip(
            transfers.debit_account_ids.tolist(),
            transfers.credit_account_ids.tolist(),
            transfers.amounts_minor.tolist(),
            strict=True,
        )
    ]


def _refusal(
    accounts: Mapping[int, Account], debit_id: int, credit_id: int, currency_code: str, amount_minor: int
) -> str:
    if any(account_id and account_id not in accounts for account_id in (debit_id, credit_id)):
        return ACCOUNT_UNKNOWN
    try:
        check_parties(accounts.get(debit_id), accounts.get(credit_id), currency_code, amount_minor)
    except DomainError as error:
        return error.reason
    return ""


def _parties(transfers: NewTransfers) -> set[int]:
    """Account 0 is the broker."""
    return {*transfers.debit_account_ids.tolist(), *transfers.credit_account_ids.tolist()} - {0}
