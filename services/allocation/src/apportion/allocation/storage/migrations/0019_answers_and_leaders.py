"""Answers about masters that were stored before their digits were known; and a leaderboard that is computed anew.

Shares of profit have become withdrawals of the master since, which changes his returns of days gone by.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = (
    """
    UPDATE request_ids AS r
    SET answer = jsonb_set(r.answer::jsonb, '{currency_digits}', to_jsonb(m.currency_digits))::text
    FROM masters AS m
    WHERE r.method IN ('CreateMaster', 'UpdateMaster', 'HaltMaster', 'ResumeMaster') AND r.answer IS NOT NULL
      AND m.master_id = (r.answer::jsonb ->> 'master_id')::bigint AND NOT r.answer::jsonb ? 'currency_digits'
    """,
    "DELETE FROM leaderboard_inputs",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
