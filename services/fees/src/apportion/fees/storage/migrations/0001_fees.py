"""Terms, calculations, charges and their transfers."""

from __future__ import annotations

from alembic import op

from apportion.storage import create_infrastructure

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE terms (
        label bigint NOT NULL,
        subscription_id bigint NOT NULL,
        version bigint NOT NULL,
        master_id bigint NOT NULL,
        payer_account_id bigint NOT NULL,
        payee_account_id bigint NOT NULL,
        currency_code text NOT NULL,
        trade_fee_per_lot_minor bigint NOT NULL CONSTRAINT terms_trade_fee_check CHECK (trade_fee_per_lot_minor >= 0),
        update_time timestamptz NOT NULL,
        CONSTRAINT terms_pkey PRIMARY KEY (label, subscription_id, version)
    )
    """,
    "CREATE INDEX terms_master_idx ON terms (label, master_id, subscription_id)",
    "COMMENT ON TABLE terms IS 'Fee terms of subscriptions; append-only, the newest version is in force'",
    """
    CREATE TABLE calculations (
        calculation_id bigint GENERATED ALWAYS AS IDENTITY,
        label bigint NOT NULL,
        fee_type smallint NOT NULL,
        subscription_id bigint NOT NULL,
        master_id bigint NOT NULL,
        payer_account_id bigint NOT NULL,
        payee_account_id bigint NOT NULL,
        child_trade_id bigint NOT NULL,
        deal_ticket bigint NOT NULL,
        symbol text NOT NULL,
        closed_volume_e8 bigint NOT NULL CONSTRAINT calculations_volume_check CHECK (closed_volume_e8 > 0),
        currency_code text NOT NULL,
        terms_version bigint NOT NULL,
        rate_minor bigint NOT NULL,
        fee_minor bigint NOT NULL,
        line text NOT NULL,
        server_time_ms bigint NOT NULL,
        create_time timestamptz NOT NULL,
        CONSTRAINT calculations_pkey PRIMARY KEY (calculation_id),
        CONSTRAINT calculations_close_key UNIQUE (label, child_trade_id, deal_ticket, fee_type),
        CONSTRAINT calculations_fee_check
            CHECK (fee_minor = div(closed_volume_e8::numeric * rate_minor * 2 + 100000000, 200000000))
    )
    """,
    "CREATE INDEX calculations_label_idx ON calculations (label, calculation_id)",
    "CREATE INDEX calculations_master_idx ON calculations (label, master_id, calculation_id)",
    "CREATE INDEX calculations_subscription_idx ON calculations (label, subscription_id, calculation_id)",
    "COMMENT ON TABLE calculations IS 'Every fee ever computed with its inputs; append-only'",
    "COMMENT ON COLUMN calculations.payee_account_id IS '0: no terms'",
    "COMMENT ON COLUMN calculations.terms_version IS '0: no terms'",
    """
    CREATE TABLE charges (
        calculation_id bigint NOT NULL,
        label bigint NOT NULL,
        master_id bigint NOT NULL,
        payer_account_id bigint NOT NULL,
        payee_account_id bigint NOT NULL,
        currency_code text NOT NULL,
        amount_minor bigint NOT NULL CONSTRAINT charges_amount_check CHECK (amount_minor > 0),
        state smallint NOT NULL,
        attempt_count integer NOT NULL,
        transfer_id bigint NOT NULL,
        reason text NOT NULL,
        next_attempt_time timestamptz,
        settle_time timestamptz,
        CONSTRAINT charges_pkey PRIMARY KEY (calculation_id),
        CONSTRAINT charges_calculation_fkey FOREIGN KEY (calculation_id) REFERENCES calculations (calculation_id),
        CONSTRAINT charges_accounts_check CHECK (payer_account_id <> payee_account_id),
        CONSTRAINT charges_outstanding_check CHECK ((state = 3) = (next_attempt_time IS NOT NULL)),
        CONSTRAINT charges_paid_check CHECK ((state = 2) = (settle_time IS NOT NULL))
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX charges_state_idx ON charges (label, state, calculation_id)",
    "CREATE INDEX charges_due_idx ON charges (next_attempt_time) WHERE state = 3",
    "CREATE INDEX charges_outstanding_idx ON charges (label, payer_account_id) WHERE state = 3",
    "COMMENT ON TABLE charges IS 'What a calculation above 0 owes, and whether it was paid'",
    "COMMENT ON COLUMN charges.transfer_id IS 'at platform-groups; 0 while unknown'",
    "COMMENT ON COLUMN charges.next_attempt_time IS 'of an OUTSTANDING charge'",
    "COMMENT ON COLUMN charges.settle_time IS 'when it was paid'",
    """
    CREATE TABLE transfers (
        item_id bigint GENERATED ALWAYS AS IDENTITY,
        calculation_id bigint NOT NULL,
        attempt integer NOT NULL,
        label bigint NOT NULL,
        state smallint NOT NULL,
        transfer_id bigint NOT NULL,
        reason text NOT NULL,
        send_count integer NOT NULL,
        next_send_time timestamptz NOT NULL,
        create_time timestamptz NOT NULL,
        CONSTRAINT transfers_pkey PRIMARY KEY (item_id),
        CONSTRAINT transfers_attempt_key UNIQUE (calculation_id, attempt),
        CONSTRAINT transfers_charge_fkey FOREIGN KEY (calculation_id) REFERENCES charges (calculation_id)
    ) WITH (fillfactor = 80)
    """,
    "CREATE UNIQUE INDEX transfers_live_key ON transfers (calculation_id) WHERE state <> 4",
    "CREATE INDEX transfers_ready_idx ON transfers (next_send_time) WHERE state = 1",
    "COMMENT ON TABLE transfers IS 'Attempts to collect a charge; each is one item of a batch transfer'",
)

# Rows about money are written once. The two that carry a state may take only the moves of the state table, and
# nothing but the state and what belongs to it may change.
PROTECTION = (
    """
    CREATE FUNCTION refuse_edit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% of % is refused: its rows are written once', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    "CREATE TRIGGER terms_written_once BEFORE UPDATE OR DELETE ON terms FOR EACH ROW EXECUTE FUNCTION refuse_edit()",
    "CREATE TRIGGER terms_kept BEFORE TRUNCATE ON terms FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit()",
    """
    CREATE TRIGGER calculations_written_once BEFORE UPDATE OR DELETE ON calculations
        FOR EACH ROW EXECUTE FUNCTION refuse_edit()
    """,
    """
    CREATE TRIGGER calculations_kept BEFORE TRUNCATE ON calculations
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit()
    """,
    """
    CREATE FUNCTION check_charge_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (OLD.calculation_id, OLD.label, OLD.master_id, OLD.payer_account_id, OLD.payee_account_id, OLD.currency_code,
            OLD.amount_minor) IS DISTINCT FROM
           (NEW.calculation_id, NEW.label, NEW.master_id, NEW.payer_account_id, NEW.payee_account_id, NEW.currency_code,
            NEW.amount_minor)
           OR (OLD.state, NEW.state) NOT IN ((1, 1), (1, 2), (1, 3), (3, 1)) THEN
            RAISE EXCEPTION 'a charge cannot change like this: state % to %', OLD.state, NEW.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER charges_move BEFORE UPDATE ON charges FOR EACH ROW EXECUTE FUNCTION check_charge_move()",
    "CREATE TRIGGER charges_kept BEFORE DELETE ON charges FOR EACH ROW EXECUTE FUNCTION refuse_edit()",
    "CREATE TRIGGER charges_all_kept BEFORE TRUNCATE ON charges FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit()",
    """
    CREATE FUNCTION check_transfer_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (OLD.item_id, OLD.calculation_id, OLD.attempt, OLD.label) IS DISTINCT FROM
           (NEW.item_id, NEW.calculation_id, NEW.attempt, NEW.label)
           OR (OLD.state, NEW.state) NOT IN ((1, 1), (2, 2), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4)) THEN
            RAISE EXCEPTION 'a transfer cannot change like this: state % to %', OLD.state, NEW.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER transfers_move BEFORE UPDATE ON transfers FOR EACH ROW EXECUTE FUNCTION check_transfer_move()",
    "CREATE TRIGGER transfers_kept BEFORE DELETE ON transfers FOR EACH ROW EXECUTE FUNCTION refuse_edit()",
    "CREATE TRIGGER transfers_all_kept BEFORE TRUNCATE ON transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit()",
)


def upgrade() -> None:
    create_infrastructure(op)
    for statement in (*TABLES, *PROTECTION):
        op.execute(statement)
