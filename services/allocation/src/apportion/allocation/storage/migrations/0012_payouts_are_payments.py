"""Payouts become payments, and distributions tell why money was left undistributed.

The items keep their numbers, so that what platform-groups was asked for before is known to it when it is asked again.
"""

from __future__ import annotations

from alembic import op

from apportion.payments import guard_payments

revision = "0012"
down_revision = "0011"

STATEMENTS = (
    "DROP INDEX payouts_due_idx",
    "ALTER TABLE payouts DROP CONSTRAINT payouts_amount_check, DROP CONSTRAINT payouts_state_check",
    "ALTER TABLE payouts RENAME master_account_id TO ordering_key",
    "ALTER TABLE payouts ADD debit_account_id bigint, ADD credit_account_id bigint",
    """
    UPDATE payouts SET amount_minor = abs(amount_minor),
        debit_account_id = CASE WHEN amount_minor > 0 THEN ordering_key ELSE account_id END,
        credit_account_id = CASE WHEN amount_minor > 0 THEN account_id ELSE ordering_key END
    """,
    """
    ALTER TABLE payouts DROP account_id, ALTER debit_account_id SET NOT NULL, ALTER credit_account_id SET NOT NULL,
        ADD CONSTRAINT payouts_amount_check CHECK (amount_minor > 0),
        ADD CONSTRAINT payouts_accounts_check CHECK (debit_account_id <> credit_account_id),
        ADD CONSTRAINT payouts_state_check CHECK (state BETWEEN 1 AND 5),
        ADD CONSTRAINT payouts_next_check CHECK ((state IN (1, 4)) = (next_time IS NOT NULL)),
        ADD CONSTRAINT payouts_settle_check CHECK ((state IN (3, 5)) = (settle_time IS NOT NULL))
    """,
    "ALTER SEQUENCE payout_items_seq RENAME TO payouts_items_seq",
    "CREATE INDEX payouts_unpaid_idx ON payouts (next_time, item_id) WHERE state IN (1, 2, 4)",
    "ALTER TABLE distributions ADD undistributed_minor bigint NOT NULL DEFAULT 0",
    # Why money was left was not written down before.
    "ALTER TABLE distributions ADD undistributed_reason text NOT NULL DEFAULT ''",
    """
    UPDATE distributions SET undistributed_minor = profit_minor + swap_minor + commission_minor - distributed_minor
    WHERE profit_minor + swap_minor + commission_minor <> distributed_minor
    """,
    "ALTER TABLE distributions ALTER undistributed_minor DROP DEFAULT, ALTER undistributed_reason DROP DEFAULT",
    "CREATE INDEX distributions_rest_idx ON distributions (master_id) WHERE undistributed_minor <> 0",
    "CREATE INDEX distributions_rest_time_idx ON distributions (distribute_time) WHERE undistributed_minor <> 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    guard_payments(op, "payouts", ["allocation_id", "subscription_id"])
