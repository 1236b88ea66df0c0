"""Set the daily limit of a master."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import VersionConflict
from apportion.risk.domain.limits import (
    Alarm,
    Basis,
    DailyLimit,
    LimitState,
    MasterAccount,
    check_limit,
    check_not_latched,
)
from apportion.risk.operations.ports import Masters
from apportion.risk.storage.limits import insert_limit, load_limit, update_limit
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class SetDailyLimit:
    """The command. An empty etag sets the limit whatever it is now."""

    key: RequestKey
    master_id: int
    limit_percent_e8: int
    basis: Basis
    etag: str


async def set_daily_limit(
    engine: AsyncEngine, masters: Masters, command: SetDailyLimit, *, now: datetime
) -> DailyLimit:
    """A new limit waits for the next snapshot, whose equity becomes its day start; a changed one keeps its day start.

    Raises LimitRange, BasisNotAvailable, NotFound, LimitLatched, VersionConflict.
    """
    check_limit(command.limit_percent_e8, command.basis)
    account = await masters.master_account(command.key.label, command.master_id)
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, DailyLimit, now=now)) is not None:
            return stored
        current = await load_limit(tx, command.key.label, command.master_id, for_update=True)
        if command.etag and (current is None or command.etag != current.etag):
            raise VersionConflict("the limit has another etag", master_id=command.master_id)
        if current is None:
            limit = _new_limit(command, account, now)
            await insert_limit(tx, limit)
        else:
            check_not_latched(current)
            limit = replace(
                current,
                limit_percent_e8=command.limit_percent_e8,
                basis=command.basis,
                version=current.version + 1,
                update_time=now,
            )
            await update_limit(tx, limit)
        await store_answer(tx, command.key, limit)
        return limit


def _new_limit(command: SetDailyLimit, account: MasterAccount, now: datetime) -> DailyLimit:
    return DailyLimit(
        label=command.key.label,
        master_id=command.master_id,
        account_id=account.account_id,
        trading_server_id=account.trading_server_id,
        currency_code=account.currency_code,
        limit_percent_e8=command.limit_percent_e8,
        basis=command.basis,
        state=LimitState.WAITING,
        server_day=0,
        day_start_equity_minor=0,
        day_start_balance_minor=0,
        day_start_credit_minor=0,
        day_start_time_ms=0,
        day_start_ticket=0,
        day_flow_minor=0,
        trip_id=0,
        alarm=Alarm.NONE,
        version=1,
        update_time=now,
    )
