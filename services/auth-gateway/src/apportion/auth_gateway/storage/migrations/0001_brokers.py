"""Brokers, their areas and API passwords, and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    _brokers()
    _api_passwords()
    _audit()


def _brokers() -> None:
    op.create_table(
        "brokers",
        sa.Column("label", sa.BigInteger, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("default_language", sa.Text, nullable=False),
        sa.Column("token_ttl_seconds", sa.Integer, nullable=False),
        sa.Column("extra_origins", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("address_allow_list", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("label", name="brokers_pk"),
        sa.UniqueConstraint("name", name="brokers_name_unique"),
        sa.CheckConstraint("label > 0", name="brokers_label_positive"),
        sa.CheckConstraint("state IN ('active', 'disabled')", name="brokers_state_known"),
        sa.CheckConstraint("token_ttl_seconds BETWEEN 10 AND 300", name="brokers_token_ttl_range"),
    )
    op.create_table(
        "areas",
        sa.Column("area_id", sa.BigInteger, sa.Identity(always=True)),
        sa.Column("label", sa.BigInteger, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("area_id", name="areas_pk"),
        sa.ForeignKeyConstraint(["label"], ["brokers.label"], name="areas_broker_exists"),
        sa.UniqueConstraint("label", "url", name="areas_url_unique"),
    )


def _api_passwords() -> None:
    op.create_table(
        "api_passwords",
        sa.Column("password_id", sa.BigInteger, sa.Identity(always=True)),
        sa.Column("label", sa.BigInteger, nullable=False),
        sa.Column("hash_kind", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("valid_from_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("password_id", name="api_passwords_pk"),
        sa.ForeignKeyConstraint(["label"], ["brokers.label"], name="api_passwords_broker_exists"),
        sa.CheckConstraint("hash_kind IN ('hmac-sha256', 'argon2id')", name="api_passwords_hash_kind_known"),
        sa.CheckConstraint(
            "hash_kind <> 'hmac-sha256' OR octet_length(digest) = 32", name="api_passwords_digest_length"
        ),
        sa.CheckConstraint("valid_until_time >= valid_from_time", name="api_passwords_range_order"),
    )
    op.create_index("api_passwords_by_label", "api_passwords", ["label"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.BigInteger, sa.Identity(always=True)),
        sa.Column("label", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", pg.JSONB, nullable=False),
        sa.Column("recorded_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name="audit_pk"),
    )
    op.create_index("audit_by_label", "audit", ["label", "audit_id"])
    op.execute(
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_rows_are_final BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )
