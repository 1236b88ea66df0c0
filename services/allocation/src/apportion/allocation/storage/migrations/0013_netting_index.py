"""Which accounts of a master net, without reading all of his subscriptions."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("CREATE INDEX subscriptions_nets_idx ON subscriptions (master_id, account_id) WHERE nets")
