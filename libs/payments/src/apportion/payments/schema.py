"""What a table of payments has besides the columns that say what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import CheckConstraint, Column, Index, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint, text

from apportion.storage.columns import bigint, identity, integer, smallint, string, timestamptz, uuid

STATE_MOVES = "(1, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (4, 1), (4, 5)"
GIVEN = "label, ordering_key, debit_account_id, credit_account_id, currency_code, amount_minor"


class Executes(Protocol):
    """alembic's `op`."""

    def execute(self, sqltext: str) -> Any: ...


def payment_columns(table_name: str) -> tuple[Column[Any], ...]:
    """`item_id` is counted up by the sequence `<table>_items_seq`, anew for each attempt."""
    return (
        bigint("label"),
        bigint("ordering_key"),
        bigint("debit_account_id"),
        bigint("credit_account_id"),
        string("currency_code"),
        bigint("amount_minor"),
        bigint("item_id", server_default=text(f"nextval('{table_name}_items_seq')")),
        smallint("state"),
        string("reason"),
        bigint("transfer_id"),  # at platform-groups; 0 until an attempt has ended
        integer("attempt_count"),
        integer("send_count"),
        timestamptz("next_time", nullable=True),  # of handing over a READY one, of the next attempt at a REFUSED one
        timestamptz("settle_time", nullable=True),
    )


def payment_constraints(table_name: str) -> tuple[Any, ...]:
    return (
        UniqueConstraint("item_id", name=f"{table_name}_item_key"),
        CheckConstraint("amount_minor > 0", name=f"{table_name}_amount_check"),
        CheckConstraint("debit_account_id <> credit_account_id", name=f"{table_name}_accounts_check"),
        CheckConstraint("state BETWEEN 1 AND 5", name=f"{table_name}_state_check"),
        CheckConstraint("(state IN (1, 4)) = (next_time IS NOT NULL)", name=f"{table_name}_next_check"),
        CheckConstraint("(state IN (3, 5)) = (settle_time IS NOT NULL)", name=f"{table_name}_settle_check"),
        # Finds what is due in the order of handing it over, and all that is not booked.
        Index(f"{table_name}_unpaid_idx", "next_time", "item_id", postgresql_where=text("state IN (1, 2, 4)")),
    )


def payment_decisions(metadata: MetaData) -> Table:
    """Decisions of people about refused payments; append-only."""
    return Table(
        "payment_decisions",
        metadata,
        identity("decision_id"),
        bigint("label"),
        bigint("item_id"),
        smallint("kind"),
        bigint("amount_minor"),
        string("currency_code"),
        string("reason"),
        string("cause"),
        string("decided_by"),
        uuid("request_id"),
        timestamptz("decide_time"),
        PrimaryKeyConstraint("decision_id", name="payment_decisions_pkey"),
        UniqueConstraint("item_id", name="payment_decisions_item_key"),
        Index("payment_decisions_label_idx", "label", "decision_id"),
    )


def guard_payments(op: Executes, table_name: str, key: Sequence[str]) -> None:
    """Makes the table of decisions, and lets payments move only along their states; what they are stays as it is.

    A new item needs a refusal of the last one: whatever a program does, a payment is not sent as a second item before.
    """
    for statement in (*DECISIONS, *_guards(table_name, ", ".join(key))):
        op.execute(statement)


DECISIONS = (
    """
    CREATE TABLE payment_decisions (
        decision_id bigint GENERATED ALWAYS AS IDENTITY,
        label bigint NOT NULL,
        item_id bigint NOT NULL,
        kind smallint NOT NULL,
        amount_minor bigint NOT NULL,
        currency_code text NOT NULL,
        reason text NOT NULL,
        cause text NOT NULL,
        decided_by text NOT NULL,
        request_id uuid NOT NULL,
        decide_time timestamptz NOT NULL,
        CONSTRAINT payment_decisions_pkey PRIMARY KEY (decision_id),
        CONSTRAINT payment_decisions_item_key UNIQUE (item_id)
    )
    """,
    "CREATE INDEX payment_decisions_label_idx ON payment_decisions (label, decision_id)",
    """
    CREATE FUNCTION refuse_payment_edit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% of % is refused: its rows are written once', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION refuse_payment_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a payment of % cannot change like this: state % to %, item % to %',
            TG_TABLE_NAME, OLD.state, NEW.state, OLD.item_id, NEW.item_id USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER payment_decisions_kept BEFORE UPDATE OR DELETE ON payment_decisions
        FOR EACH ROW EXECUTE FUNCTION refuse_payment_edit()
    """,
    """
    CREATE TRIGGER payment_decisions_all_kept BEFORE TRUNCATE ON payment_decisions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_payment_edit()
    """,
)


def _guards(table: str, key: str) -> tuple[str, ...]:
    return (
        f"""
        CREATE TRIGGER {table}_given BEFORE UPDATE OF {key}, {GIVEN} ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_payment_edit()
        """,
        # The condition is PostgreSQL's own: the function runs for what is refused only.
        f"""
        CREATE TRIGGER {table}_move BEFORE UPDATE OF state, item_id ON {table} FOR EACH ROW
            WHEN ((OLD.state, NEW.state) NOT IN ({STATE_MOVES})
                OR (OLD.item_id <> NEW.item_id) <> (OLD.state = 4 AND NEW.state = 1))
            EXECUTE FUNCTION refuse_payment_move()
        """,
        f"""
        CREATE TRIGGER {table}_kept BEFORE DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_payment_edit()
        """,
        f"""
        CREATE TRIGGER {table}_all_kept BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_payment_edit()
        """,
    )
