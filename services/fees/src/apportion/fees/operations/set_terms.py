"""Set the fee terms of one subscription."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import VersionConflict
from apportion.fees.domain.terms import Terms, check_payee, check_terms
from apportion.fees.operations.ports import Subscriptions, Wallets
from apportion.fees.storage.terms import load_terms, save_terms
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class SetTerms:
    """The command. An empty etag sets the terms whatever they are now."""

    key: RequestKey
    subscription_id: int
    currency_code: str
    trade_fee_per_lot_minor: int
    etag: str


async def set_terms(
    engine: AsyncEngine, subscriptions: Subscriptions, wallets: Wallets, command: SetTerms, *, now: datetime
) -> Terms:
    """Adds the next version; closes that were calculated before keep theirs.

    Raises NotFound, RateRange, CurrencyMismatch, PayeeUnknown, VersionConflict.
    """
    parties = await subscriptions.parties(command.key.label, command.subscription_id)
    check_payee(parties)
    payee = await wallets.currency(command.key.label, parties.payee_account_id)
    check_terms(parties, payee, command.currency_code, command.trade_fee_per_lot_minor)
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Terms, now=now)) is not None:
            return stored
        current = await load_terms(tx, command.key.label, command.subscription_id)
        if command.etag and (current is None or command.etag != current.etag):
            raise VersionConflict("the terms have another etag", subscription_id=command.subscription_id)
        terms = Terms(
            label=command.key.label,
            subscription_id=command.subscription_id,
            version=1 if current is None else current.version + 1,
            master_id=parties.master_id,
            payer_account_id=parties.payer_account_id,
            payee_account_id=parties.payee_account_id,
            currency_code=parties.currency.code,
            currency_digits=parties.currency.digits,
            trade_fee_per_lot_minor=command.trade_fee_per_lot_minor,
            update_time=now,
        )
        await save_terms(tx, terms)
        await store_answer(tx, command.key, terms)
        return terms
