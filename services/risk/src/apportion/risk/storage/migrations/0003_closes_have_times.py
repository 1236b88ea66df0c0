"""When each position was closed; and a closed trip whose account was opened after all closes once more."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

COLUMN = "ALTER TABLE trip_closes ADD server_time_ms bigint NOT NULL DEFAULT 0"

# As before, but for the last condition.
MOVES = """
    CREATE OR REPLACE FUNCTION check_trip_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (OLD.trip_id, OLD.label, OLD.master_id, OLD.account_id, OLD.trading_server_id, OLD.server_day,
            OLD.day_start_equity_minor, OLD.day_flow_minor, OLD.limit_percent_e8, OLD.basis, OLD.signal_equity_minor,
            OLD.equity_minor, OLD.balance_minor, OLD.unexplained_minor, OLD.previous_equity_minor, OLD.alarm,
            OLD.server_time_ms, OLD.observed_time, OLD.decide_time) IS DISTINCT FROM
           (NEW.trip_id, NEW.label, NEW.master_id, NEW.account_id, NEW.trading_server_id, NEW.server_day,
            NEW.day_start_equity_minor, NEW.day_flow_minor, NEW.limit_percent_e8, NEW.basis, NEW.signal_equity_minor,
            NEW.equity_minor, NEW.balance_minor, NEW.unexplained_minor, NEW.previous_equity_minor, NEW.alarm,
            NEW.server_time_ms, NEW.observed_time, NEW.decide_time)
           OR (OLD.state <> NEW.state AND NEW.state <> OLD.state + 1 AND (OLD.state, NEW.state) <> (3, 2)) THEN
            RAISE EXCEPTION 'a trip cannot change like this: state % to %', OLD.state, NEW.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
"""


def upgrade() -> None:
    op.execute(COLUMN)
    op.execute(MOVES)
