"""Batches that are the same whenever the same items are sent together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from apportion.payments.payment import PaymentBatch


def batch_of(
    source: str,
    label: int,
    ordering_key: int,
    currency_code: str,
    item_ids: Sequence[int],
    debit_account_ids: Sequence[int],
    credit_account_ids: Sequence[int],
    amounts_minor: Sequence[int],
) -> PaymentBatch:
    """The request id follows from source, label and items."""
    digest = hashlib.sha256(",".join(map(str, item_ids)).encode()).hexdigest()
    return PaymentBatch(
        request_id=uuid5(NAMESPACE_URL, f"apportion/{source}/{label}/{digest}"),
        label=label,
        ordering_key=ordering_key,
        currency_code=currency_code,
        item_ids=item_ids,
        debit_account_ids=debit_account_ids,
        credit_account_ids=credit_account_ids,
        amounts_minor=amounts_minor,
    )
