"""Answers that were stored before terms knew their digits get those of the terms."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENT = """
    UPDATE request_ids AS r
    SET answer = jsonb_set(r.answer::jsonb, '{currency_digits}', to_jsonb(t.currency_digits))::text
    FROM terms AS t
    WHERE r.method = 'SetTerms' AND r.answer IS NOT NULL AND NOT r.answer::jsonb ? 'currency_digits'
      AND t.label = r.label AND t.subscription_id = (r.answer::jsonb ->> 'subscription_id')::bigint
      AND t.version = (r.answer::jsonb ->> 'version')::integer
"""


def upgrade() -> None:
    op.execute(STATEMENT)
