"""Dues: the payments of a made-up service."""

from __future__ import annotations

from alembic import op
from payments_world import metadata

from apportion.payments import guard_payments
from apportion.storage import create_infrastructure

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_infrastructure(op)
    op.execute("CREATE SEQUENCE dues_items_seq")
    metadata.tables["dues"].create(op.get_bind())
    guard_payments(op, "dues", ["due_id"])
