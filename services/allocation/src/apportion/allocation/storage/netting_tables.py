"""The table of netting accounts."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, Table, text

from apportion.allocation.storage.tables import metadata
from apportion.storage.columns import bigint, string

# What each trade on a netting account did to whose share of its position; the parts of a deal sum up to its volume.
net_deals = Table(
    "net_deals",
    metadata,
    bigint("account_id"),
    bigint("deal_ticket"),
    bigint("child_trade_id"),  # 0: to what is nobody's child
    bigint("label"),
    string("symbol"),
    bigint("volume_e8"),  # signed, as of a trade
    PrimaryKeyConstraint("account_id", "deal_ticket", "child_trade_id", name="net_deals_pkey"),
    CheckConstraint("volume_e8 <> 0", name="net_deals_volume_check"),
    Index("net_deals_nobodys_idx", "account_id", "symbol", postgresql_where=text("child_trade_id = 0")),
)
