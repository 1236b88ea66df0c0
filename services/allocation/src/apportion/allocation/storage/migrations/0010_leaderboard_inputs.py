"""What the leaderboard was computed from, so that only what changed is computed again; indexes."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    """
    CREATE TABLE history_versions (
        account_id bigint NOT NULL CONSTRAINT history_versions_pkey PRIMARY KEY,
        version bigint NOT NULL
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE leaderboard_inputs (
        master_id bigint NOT NULL CONSTRAINT leaderboard_inputs_pkey PRIMARY KEY
            CONSTRAINT leaderboard_inputs_master_fkey REFERENCES masters,
        history_version bigint NOT NULL,
        server_day bigint NOT NULL,
        equity_minor bigint NOT NULL,
        closed_trades bytea NOT NULL,
        followers_equity_minor bigint NOT NULL
    )
    """,
    # All figures are computed again, for they have more fields.
    "DELETE FROM leaderboard_rows",
    "ALTER TABLE leaderboard_rows DROP COLUMN followers_equity_minor",
    "CREATE INDEX leaderboard_rows_return_idx ON leaderboard_rows (day_count, return_e8 DESC, master_id)",
    "CREATE INDEX leaderboard_rows_drawdown_idx ON leaderboard_rows (day_count, (-max_drawdown_e8) DESC, master_id)",
    """
    CREATE INDEX leaderboard_rows_sharpe_idx
    ON leaderboard_rows (day_count, (coalesce(sharpe_e8, '-9223372036854775808'::bigint)) DESC, master_id)
    """,
    "CREATE INDEX leaderboard_inputs_followers_idx ON leaderboard_inputs (followers_equity_minor DESC, master_id)",
    "DROP INDEX account_deals_position_idx",
    "CREATE INDEX account_deals_transfer_idx ON account_deals (transfer_id) WHERE transfer_id <> 0",
    "CREATE INDEX account_deals_deal_time_idx ON account_deals USING brin (deal_time)",
    "CREATE INDEX equity_days_first_time_idx ON equity_days USING brin (first_time)",
    "ALTER TABLE own_transfers ADD COLUMN recorded_time timestamptz NOT NULL DEFAULT now()",
    "CREATE INDEX own_transfers_recorded_time_idx ON own_transfers USING brin (recorded_time)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
