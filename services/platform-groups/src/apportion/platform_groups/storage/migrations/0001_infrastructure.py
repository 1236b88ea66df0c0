"""Outbox, request ids, leases: what every service has."""

from __future__ import annotations

from alembic import op

from apportion.storage import create_infrastructure

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_infrastructure(op)
