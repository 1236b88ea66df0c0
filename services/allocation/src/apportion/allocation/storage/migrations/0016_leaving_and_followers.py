"""Who is leaving, without reading all subscriptions; the leaderboard in the order of followers."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("CREATE INDEX subscriptions_leaving_idx ON subscriptions (subscription_id) WHERE state = 2")
    op.execute(
        """
        CREATE INDEX masters_followers_idx ON masters (label, active_subscription_count DESC, master_id)
            WHERE listed_on_leaderboard
        """
    )
