"""Engage or release the kill switch of a label."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.storage.kill_switches import save_switch
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class SwitchAnswer:
    """The stored answer."""

    engaged: bool
    change_time: datetime


async def set_kill_switch(
    engine: AsyncEngine, key: RequestKey, engaged: bool, cause: str, *, now: datetime
) -> SwitchAnswer:
    """From its commit on no opening order is sent and no paying transfer accepted; what is on the wire goes on."""
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, SwitchAnswer, now=now)
        if stored is not None:
            return stored
        await save_switch(tx, key.label, engaged, cause, now)
        answer = SwitchAnswer(engaged, now)
        await store_answer(tx, key, answer)
        return answer
