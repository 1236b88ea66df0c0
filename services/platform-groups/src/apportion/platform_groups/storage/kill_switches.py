"""The kill switch of a label."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import KillSwitchOn


async def save_switch(tx: AsyncConnection, label: int, engaged: bool, cause: str, now: datetime) -> None:
    query = text(
        """INSERT INTO kill_switches (label, engaged, cause, change_time) VALUES (:label, :engaged, :cause, :now)
        ON CONFLICT (label) DO UPDATE SET engaged = :engaged, cause = :cause, change_time = :now"""
    )
    await tx.execute(query, {"label": label, "engaged": engaged, "cause": cause, "now": now})


async def require_released(tx: AsyncConnection, label: int) -> None:
    """Raises KillSwitchOn. Holds the switch as it is until the commit, so that none slips past a stop."""
    query = text("SELECT engaged FROM kill_switches WHERE label = :label FOR SHARE")
    engaged = (await tx.execute(query, {"label": label})).scalar_one_or_none()
    if engaged is None:  # without a row there is nothing to hold
        released = text(
            """INSERT INTO kill_switches (label, engaged, cause, change_time) VALUES (:label, false, '', '-infinity')
            ON CONFLICT ON CONSTRAINT kill_switches_pkey DO NOTHING"""
        )
        await tx.execute(released, {"label": label})
        engaged = (await tx.execute(query, {"label": label})).scalar_one()
    if engaged:
        raise KillSwitchOn(label=label)
