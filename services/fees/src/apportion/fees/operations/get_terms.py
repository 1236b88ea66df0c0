"""Read the fee terms of one subscription."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import NotFound
from apportion.fees.domain.terms import Terms
from apportion.fees.storage.terms import load_terms
from apportion.storage import transaction


async def get_terms(engine: AsyncEngine, label: int, subscription_id: int) -> Terms:
    """The version in force. Raises NotFound."""
    async with transaction(engine) as tx:
        terms = await load_terms(tx, label, subscription_id)
    if terms is None:
        raise NotFound("terms of subscription", subscription_id)
    return terms
