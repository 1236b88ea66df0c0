"""All deals of followed accounts, their equities day by day, and the leaderboard."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    CREATE TABLE account_deals (
        account_id bigint NOT NULL,
        deal_ticket bigint NOT NULL,
        label bigint NOT NULL,
        position_ticket bigint NOT NULL,
        action smallint NOT NULL CONSTRAINT account_deals_action_check CHECK (action BETWEEN 1 AND 3),
        entry smallint NOT NULL CONSTRAINT account_deals_entry_check CHECK (entry BETWEEN 0 AND 4),
        symbol text NOT NULL,
        volume_e8 bigint NOT NULL,
        price_e8 bigint NOT NULL,
        profit_minor bigint NOT NULL,
        swap_minor bigint NOT NULL,
        commission_minor bigint NOT NULL,
        server_time_ms bigint NOT NULL,
        order_id bigint NOT NULL,
        transfer_id bigint NOT NULL,
        reason integer NOT NULL,
        deal_time timestamptz NOT NULL,
        CONSTRAINT account_deals_pkey PRIMARY KEY (account_id, deal_ticket)
    )
    """,
    "CREATE INDEX account_deals_time_idx ON account_deals (account_id, server_time_ms, deal_ticket)",
    "CREATE INDEX account_deals_position_idx ON account_deals (account_id, position_ticket) WHERE action = 1",
    """
    CREATE TABLE own_transfers (
        transfer_id bigint NOT NULL CONSTRAINT own_transfers_pkey PRIMARY KEY,
        label bigint NOT NULL,
        source text NOT NULL
    )
    """,
    """
    CREATE TABLE equity_days (
        account_id bigint NOT NULL,
        server_day bigint NOT NULL,
        label bigint NOT NULL,
        first_balance_minor bigint NOT NULL,
        first_equity_minor bigint NOT NULL,
        first_server_time_ms bigint NOT NULL,
        first_time timestamptz NOT NULL,
        last_balance_minor bigint NOT NULL,
        last_equity_minor bigint NOT NULL,
        last_server_time_ms bigint NOT NULL,
        last_time timestamptz NOT NULL,
        CONSTRAINT equity_days_pkey PRIMARY KEY (account_id, server_day),
        CONSTRAINT equity_days_times_check CHECK (first_server_time_ms <= last_server_time_ms)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE leaderboard_rows (
        master_id bigint NOT NULL CONSTRAINT leaderboard_rows_master_fkey REFERENCES masters,
        day_count integer NOT NULL,
        age_day_count integer NOT NULL,
        return_e8 bigint NOT NULL,
        max_drawdown_e8 bigint NOT NULL,
        sharpe_e8 bigint,
        followers_equity_minor bigint NOT NULL,
        statistics jsonb NOT NULL,
        compute_time timestamptz NOT NULL,
        CONSTRAINT leaderboard_rows_pkey PRIMARY KEY (day_count, master_id)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
