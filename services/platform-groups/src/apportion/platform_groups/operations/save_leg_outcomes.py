"""What became of legs, and what that makes of their transfers: the next leg, or the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.states import LegKind, LegState, TransferState
from apportion.platform_groups.domain.transfers import LegOutcome, TransferStep, UnknownLeg, advance
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.egress import ring_egress
from apportion.platform_groups.storage.events import append_transfers_updated
from apportion.platform_groups.storage.transfers import (
    arm_credits,
    insert_refunds,
    load_parties,
    save_leg_absences,
    save_legs,
    save_states,
)
from apportion.storage import transaction


async def save_leg_outcomes(
    engine: AsyncEngine,
    new_id: NewId,
    outcomes: Sequence[LegOutcome],
    *,
    absent: Sequence[UnknownLeg] = (),
    now: datetime,
) -> None:
    """An outcome holds only for the leg as it was sent (same epoch and attempt)."""
    async with transaction(engine) as tx:
        if absent:
            await save_leg_absences(tx, absent)
        finished = [row for row in await save_legs(tx, outcomes, now) if LegState(row["state"]).is_final]
        if not finished:
            return
        parties = await load_parties(tx, [row["transfer_id"] for row in finished])
        steps = {row["transfer_id"]: (row, step) for row in finished if (step := _step(row, parties)) is not None}
        states = {id_: (step.state, _reason(row, step)) for id_, (row, step) in steps.items()}
        rows = await save_states(tx, states, now)
        await append_transfers_updated(tx, rows, new_id, now)
        servers = await arm_credits(tx, _whose_next_is(steps, LegKind.CREDIT), now)
        servers += await insert_refunds(tx, _whose_next_is(steps, LegKind.REFUND), now)
        await ring_egress(tx, servers)


def _step(row: Any, parties: dict[int, tuple[bool, bool]]) -> TransferStep | None:
    has_debit, has_credit = parties[row["transfer_id"]]
    return advance(LegKind(row["kind"]), LegState(row["state"]), has_credit=has_credit, has_debit=has_debit)


def _reason(row: Any, step: TransferStep) -> str:
    """Why a transfer failed; a finished one has no reason but the one that reversed it."""
    return "" if step.state is TransferState.DONE else str(row["reason"])


def _whose_next_is(steps: dict[int, tuple[Any, TransferStep]], kind: LegKind) -> list[int]:
    return [transfer_id for transfer_id, (_, step) in steps.items() if step.next_leg is kind]
