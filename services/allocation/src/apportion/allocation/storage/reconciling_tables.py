"""The tables of the comparison with the trading servers."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, Table

from apportion.allocation.storage.tables import metadata
from apportion.storage.columns import bigint, boolean, identity, string, timestamptz

# Positions that a complete report of a trading server showed otherwise than the books.
deviations = Table(
    "deviations",
    metadata,
    identity("deviation_id"),
    bigint("label"),
    bigint("trading_server_id"),
    bigint("account_id"),
    bigint("position_ticket"),  # 0: of a netting account, which has one position a symbol
    string("symbol"),
    bigint("server_volume_e8"),  # signed; 0: gone
    bigint("book_volume_e8"),  # signed; 0: not a child's, by the books
    bigint("open_price_e8"),
    bigint("order_id"),  # of platform-groups, which opened it; 0: opened by hand
    timestamptz("first_time"),  # of the first report with these volumes
    timestamptz("seen_time"),  # of the last one
    boolean("confirmed"),  # by a second report, some seconds after the first
    PrimaryKeyConstraint("account_id", "position_ticket", "symbol", name="deviations_pkey"),
    CheckConstraint("server_volume_e8 <> book_volume_e8", name="deviations_volumes_check"),
    Index("deviations_label_idx", "label", "deviation_id"),
)

# Joins a deviation `d` to the children `c` that it is about: all that are open in the symbol on a netting account.
OF_CHILD = """
    d.account_id = c.account_id AND d.label = c.label AND CASE WHEN c.nets
        THEN d.position_ticket = 0 AND d.symbol = c.symbol AND c.open_volume_e8 > 0
        ELSE d.position_ticket = c.position_ticket AND c.position_ticket <> 0 END
"""
# Accounts that platform-groups says are not open.
left_accounts = Table(
    "left_accounts",
    metadata,
    bigint("account_id"),
    bigint("label"),
    bigint("trading_server_id"),
    timestamptz("left_time"),  # when it was found out
    timestamptz("ask_time"),  # not read any more
    PrimaryKeyConstraint("account_id", name="left_accounts_pkey"),
)

# Orders that ended without a position: should one turn up in spite of that, this tells whose it is.
unfilled_orders = Table(
    "unfilled_orders",
    metadata,
    bigint("order_id"),
    bigint("label"),
    bigint("child_trade_id"),
    PrimaryKeyConstraint("order_id", name="unfilled_orders_pkey"),
)
