"""What trading servers show otherwise than the books; why rows of a decision were skipped, in one number."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

DEVIATIONS = """
    CREATE TABLE deviations (
        deviation_id bigint GENERATED ALWAYS AS IDENTITY,
        label bigint NOT NULL,
        trading_server_id bigint NOT NULL,
        account_id bigint NOT NULL,
        position_ticket bigint NOT NULL,
        symbol text NOT NULL,
        server_volume_e8 bigint NOT NULL,
        book_volume_e8 bigint NOT NULL,
        open_price_e8 bigint NOT NULL,
        order_id bigint NOT NULL,
        first_time timestamptz NOT NULL,
        seen_time timestamptz NOT NULL,
        confirmed boolean NOT NULL,
        CONSTRAINT deviations_pkey PRIMARY KEY (account_id, position_ticket),
        CONSTRAINT deviations_volumes_check CHECK (server_volume_e8 <> book_volume_e8)
    )
"""
LEFT_ACCOUNTS = """
    CREATE TABLE left_accounts (
        account_id bigint NOT NULL CONSTRAINT left_accounts_pkey PRIMARY KEY,
        label bigint NOT NULL,
        trading_server_id bigint NOT NULL,
        left_time timestamptz NOT NULL,
        ask_time timestamptz NOT NULL
    )
"""
UNFILLED_ORDERS = """
    CREATE TABLE unfilled_orders (
        order_id bigint NOT NULL CONSTRAINT unfilled_orders_pkey PRIMARY KEY,
        label bigint NOT NULL,
        child_trade_id bigint NOT NULL
    )
"""
INDEXES = (
    "CREATE INDEX deviations_label_idx ON deviations (label, deviation_id)",
    "CREATE INDEX master_positions_open_idx ON master_positions (master_id) WHERE open_volume_e8 <> 0",
    "CREATE INDEX child_trades_open_account_idx ON child_trades (account_id, position_ticket) WHERE open_volume_e8 > 0",
    """
    CREATE INDEX child_trades_open_master_idx ON child_trades (master_id, master_position_ticket)
        WHERE open_volume_e8 > 0
    """,
)
# One byte for each row, or (5 bytes a row) numbers of rows as int32, then the reasons of these.
REASON_MASK = (
    "ALTER TABLE allocations ADD reason_mask integer NOT NULL DEFAULT 0",
    """
    UPDATE allocations SET reason_mask = coalesce((
        SELECT bit_or(1 << get_byte(reasons, n))
        FROM generate_series(
            CASE reason_bytes WHEN 5 THEN octet_length(reasons) / 5 * 4 ELSE 0 END, octet_length(reasons) - 1) AS n
        WHERE get_byte(reasons, n) > 0), 0)
    WHERE octet_length(reasons) > 0
    """,
)


def upgrade() -> None:
    for statement in (DEVIATIONS, LEFT_ACCOUNTS, UNFILLED_ORDERS, *INDEXES, *REASON_MASK):
        op.execute(statement)
