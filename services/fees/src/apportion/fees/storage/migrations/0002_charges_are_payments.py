"""Charges become payments, each with the item of its newest attempt; the table of attempts goes.

The items keep their numbers, so that what platform-groups was asked for before is known to it when it is asked again.
"""

from __future__ import annotations

from alembic import op

from apportion.payments import guard_payments

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "DROP TRIGGER charges_move ON charges",
    "DROP TRIGGER charges_kept ON charges",
    "DROP TRIGGER charges_all_kept ON charges",
    "DROP FUNCTION check_charge_move",
    "DROP INDEX charges_state_idx, charges_due_idx, charges_outstanding_idx",
    "ALTER TABLE charges DROP CONSTRAINT charges_outstanding_check, DROP CONSTRAINT charges_paid_check",
    "ALTER TABLE charges RENAME master_id TO ordering_key",
    "ALTER TABLE charges RENAME payer_account_id TO debit_account_id",
    "ALTER TABLE charges RENAME payee_account_id TO credit_account_id",
    "ALTER TABLE charges RENAME next_attempt_time TO next_time",
    "CREATE SEQUENCE charges_items_seq",
    "ALTER TABLE charges ADD item_id bigint, ADD send_count integer NOT NULL DEFAULT 0",
    """
    UPDATE charges SET item_id = t.item_id, send_count = t.send_count,
        state = CASE WHEN charges.state = 1 THEN t.state ELSE charges.state + 1 END,
        next_time = CASE WHEN charges.state = 1 THEN t.next_send_time ELSE charges.next_time END
    FROM transfers AS t WHERE (t.calculation_id, t.attempt) = (charges.calculation_id, charges.attempt_count)
    """,
    "UPDATE charges SET next_time = NULL WHERE state = 2",
    "SELECT setval('charges_items_seq', coalesce(max(item_id), 0) + 1, false) FROM transfers",
    "DROP TABLE transfers",
    "DROP FUNCTION check_transfer_move",
    """
    ALTER TABLE charges ALTER item_id SET NOT NULL, ALTER item_id SET DEFAULT nextval('charges_items_seq'),
        ALTER send_count DROP DEFAULT,
        ADD CONSTRAINT charges_item_key UNIQUE (item_id),
        ADD CONSTRAINT charges_state_check CHECK (state BETWEEN 1 AND 5),
        ADD CONSTRAINT charges_next_check CHECK ((state IN (1, 4)) = (next_time IS NOT NULL)),
        ADD CONSTRAINT charges_settle_check CHECK ((state IN (3, 5)) = (settle_time IS NOT NULL))
    """,
    "ALTER SEQUENCE charges_items_seq OWNED BY charges.item_id",
    "CREATE INDEX charges_unpaid_idx ON charges (next_time, item_id) WHERE state IN (1, 2, 4)",
    "CREATE INDEX charges_state_idx ON charges (label, state, calculation_id)",
    "CREATE INDEX charges_refused_idx ON charges (label, debit_account_id) WHERE state = 4",
    "COMMENT ON COLUMN charges.transfer_id IS NULL",
    "COMMENT ON COLUMN charges.next_time IS NULL",
    "COMMENT ON COLUMN charges.settle_time IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    guard_payments(op, "charges", ["calculation_id"])
