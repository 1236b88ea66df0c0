"""Limits, the deals they are kept by, trips and their evidence."""

from __future__ import annotations

from alembic import op

from apportion.storage import create_infrastructure

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE limits (
        label bigint NOT NULL,
        master_id bigint NOT NULL,
        account_id bigint NOT NULL,
        trading_server_id bigint NOT NULL,
        currency_code text NOT NULL,
        limit_percent_e8 bigint NOT NULL,
        basis smallint NOT NULL,
        state smallint NOT NULL,
        server_day bigint NOT NULL,
        day_start_equity_minor bigint NOT NULL,
        day_start_balance_minor bigint NOT NULL,
        day_start_credit_minor bigint NOT NULL,
        day_start_time_ms bigint NOT NULL,
        day_start_ticket bigint NOT NULL,
        day_flow_minor bigint NOT NULL,
        trip_id bigint NOT NULL,
        alarm text NOT NULL,
        version bigint NOT NULL,
        update_time timestamptz NOT NULL,
        CONSTRAINT limits_pkey PRIMARY KEY (label, master_id),
        CONSTRAINT limits_account_key UNIQUE (label, account_id),
        CONSTRAINT limits_percent_check CHECK (limit_percent_e8 > 0 AND limit_percent_e8 <= 10000000000),
        CONSTRAINT limits_trip_check CHECK ((trip_id <> 0) = (state IN (3, 4, 5)))
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX limits_server_idx ON limits (trading_server_id)",
    "COMMENT ON TABLE limits IS 'Daily limits of masters with the day start they are measured from'",
    "COMMENT ON COLUMN limits.day_start_time_ms IS 'raw server time'",
    "COMMENT ON COLUMN limits.day_start_ticket IS 'deals up to it are in the day start'",
    "COMMENT ON COLUMN limits.trip_id IS 'in force; 0: none'",
    """
    CREATE TABLE deals (
        label bigint NOT NULL,
        account_id bigint NOT NULL,
        deal_ticket bigint NOT NULL,
        balance_minor bigint NOT NULL,
        credit_minor bigint NOT NULL,
        flow_minor bigint NOT NULL,
        server_time_ms bigint NOT NULL,
        CONSTRAINT deals_pkey PRIMARY KEY (label, account_id, deal_ticket)
    )
    """,
    "COMMENT ON TABLE deals IS 'What moved the balance or credit of accounts with a limit; append-only'",
    "COMMENT ON COLUMN deals.flow_minor IS 'deposits and withdrawals'",
    """
    CREATE TABLE trips (
        trip_id bigint GENERATED ALWAYS AS IDENTITY,
        label bigint NOT NULL,
        master_id bigint NOT NULL,
        account_id bigint NOT NULL,
        trading_server_id bigint NOT NULL,
        state smallint NOT NULL,
        server_day bigint NOT NULL,
        day_start_equity_minor bigint NOT NULL,
        day_flow_minor bigint NOT NULL,
        limit_percent_e8 bigint NOT NULL,
        basis smallint NOT NULL,
        signal_equity_minor bigint NOT NULL,
        equity_minor bigint NOT NULL,
        balance_minor bigint NOT NULL,
        unexplained_minor bigint NOT NULL,
        previous_equity_minor bigint NOT NULL,
        alarm text NOT NULL,
        server_time_ms bigint NOT NULL,
        observed_time timestamptz NOT NULL,
        decide_time timestamptz NOT NULL,
        is_halted boolean NOT NULL,
        closing_id bigint NOT NULL,
        closing_round integer NOT NULL,
        flat_time timestamptz,
        achieved_equity_minor bigint NOT NULL,
        rearm_time timestamptz,
        attempt_count integer NOT NULL,
        failure_count integer NOT NULL,
        last_error text NOT NULL,
        next_attempt_time timestamptz NOT NULL,
        CONSTRAINT trips_pkey PRIMARY KEY (trip_id),
        CONSTRAINT trips_day_key UNIQUE (label, master_id, server_day),
        CONSTRAINT trips_breach_check CHECK (equity_minor < signal_equity_minor)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX trips_label_idx ON trips (label, trip_id)",
    "CREATE UNIQUE INDEX trips_live_key ON trips (label, master_id) WHERE state <> 4",
    "CREATE INDEX trips_master_idx ON trips (label, master_id, trip_id)",
    "CREATE INDEX trips_open_idx ON trips (next_attempt_time) WHERE state <> 4",
    "COMMENT ON TABLE trips IS 'Each time a limit was broken, with the evidence; only its progress changes'",
    "COMMENT ON COLUMN trips.closing_id IS 'at platform-groups; 0: none yet'",
    "COMMENT ON COLUMN trips.failure_count IS 'since the last success'",
    """
    CREATE TABLE trip_prices (
        trip_id bigint NOT NULL,
        symbol text NOT NULL,
        bid_e8 bigint NOT NULL,
        ask_e8 bigint NOT NULL,
        server_time_ms bigint NOT NULL,
        CONSTRAINT trip_prices_pkey PRIMARY KEY (trip_id, symbol),
        CONSTRAINT trip_prices_trip_fkey FOREIGN KEY (trip_id) REFERENCES trips (trip_id)
    )
    """,
    "COMMENT ON TABLE trip_prices IS 'Prices known when the limit tripped'",
    """
    CREATE TABLE trip_closes (
        trip_id bigint NOT NULL,
        closing_round integer NOT NULL,
        line integer NOT NULL,
        position_ticket bigint NOT NULL,
        volume_e8 bigint NOT NULL,
        price_e8 bigint NOT NULL,
        CONSTRAINT trip_closes_pkey PRIMARY KEY (trip_id, closing_round, line),
        CONSTRAINT trip_closes_trip_fkey FOREIGN KEY (trip_id) REFERENCES trips (trip_id)
    )
    """,
    "COMMENT ON TABLE trip_closes IS 'Positions that a trip closed'",
)

# A trip is evidence: what was decided never changes, and its state moves only forward.
PROTECTION = (
    """
    CREATE FUNCTION refuse_edit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% of % is refused: its rows are written once', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION check_trip_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (OLD.trip_id, OLD.label, OLD.master_id, OLD.account_id, OLD.trading_server_id, OLD.server_day,
            OLD.day_start_equity_minor, OLD.day_flow_minor, OLD.limit_percent_e8, OLD.basis, OLD.signal_equity_minor,
            OLD.equity_minor, OLD.balance_minor, OLD.unexplained_minor, OLD.previous_equity_minor, OLD.alarm,
            OLD.server_time_ms, OLD.observed_time, OLD.decide_time) IS DISTINCT FROM
           (NEW.trip_id, NEW.label, NEW.master_id, NEW.account_id, NEW.trading_server_id, NEW.server_day,
            NEW.day_start_equity_minor, NEW.day_flow_minor, NEW.limit_percent_e8, NEW.basis, NEW.signal_equity_minor,
            NEW.equity_minor, NEW.balance_minor, NEW.unexplained_minor, NEW.previous_equity_minor, NEW.alarm,
            NEW.server_time_ms, NEW.observed_time, NEW.decide_time)
           OR (OLD.state <> NEW.state AND NEW.state <> OLD.state + 1) THEN
            RAISE EXCEPTION 'a trip cannot change like this: state % to %', OLD.state, NEW.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER trips_move BEFORE UPDATE ON trips FOR EACH ROW EXECUTE FUNCTION check_trip_move()",
    "CREATE TRIGGER trips_kept BEFORE DELETE ON trips FOR EACH ROW EXECUTE FUNCTION refuse_edit()",
    "CREATE TRIGGER trips_all_kept BEFORE TRUNCATE ON trips FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit()",
    "CREATE TRIGGER deals_written_once BEFORE UPDATE OR DELETE ON deals FOR EACH ROW EXECUTE FUNCTION refuse_edit()",
    "CREATE TRIGGER deals_kept BEFORE TRUNCATE ON deals FOR EACH STATEMENT EXECUTE FUNCTION refuse_edit()",
    """
    CREATE TRIGGER trip_prices_written_once BEFORE UPDATE OR DELETE ON trip_prices
        FOR EACH ROW EXECUTE FUNCTION refuse_edit()
    """,
    """
    CREATE TRIGGER trip_closes_written_once BEFORE UPDATE OR DELETE ON trip_closes
        FOR EACH ROW EXECUTE FUNCTION refuse_edit()
    """,
)


def upgrade() -> None:
    create_infrastructure(op)
    for statement in (*TABLES, *PROTECTION):
        op.execute(statement)
