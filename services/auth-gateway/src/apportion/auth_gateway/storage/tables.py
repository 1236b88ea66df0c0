"""Tables of the gateway's own database."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData()
NOW = sa.text("now()")
NO_TEXTS = sa.text("'{}'")

brokers = sa.Table(
    "brokers",
    metadata,
    sa.Column("label", sa.BigInteger, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("default_language", sa.Text, nullable=False),
    sa.Column("token_ttl_seconds", sa.Integer, nullable=False),
    sa.Column("extra_origins", pg.ARRAY(sa.Text), nullable=False, server_default=NO_TEXTS),
    sa.Column("address_allow_list", pg.ARRAY(sa.Text), nullable=False, server_default=NO_TEXTS),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
    sa.PrimaryKeyConstraint("label", name="brokers_pk"),
    sa.UniqueConstraint("name", name="brokers_name_unique"),
    sa.CheckConstraint("label > 0", name="brokers_label_positive"),
    sa.CheckConstraint("state IN ('active', 'disabled')", name="brokers_state_known"),
    sa.CheckConstraint("token_ttl_seconds BETWEEN 10 AND 300", name="brokers_token_ttl_range"),
)

areas = sa.Table(
    "areas",
    metadata,
    sa.Column("area_id", sa.BigInteger, sa.Identity(always=True)),
    sa.Column("label", sa.BigInteger, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("area_id", name="areas_pk"),
    sa.ForeignKeyConstraint(["label"], ["brokers.label"], name="areas_broker_exists"),
    sa.UniqueConstraint("label", "url", name="areas_url_unique"),
)

api_passwords = sa.Table(
    "api_passwords",
    metadata,
    sa.Column("password_id", sa.BigInteger, sa.Identity(always=True)),
    sa.Column("label", sa.BigInteger, nullable=False),
    sa.Column("hash_kind", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("valid_from_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("valid_until_time", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("password_id", name="api_passwords_pk"),
    sa.ForeignKeyConstraint(["label"], ["brokers.label"], name="api_passwords_broker_exists"),
    sa.CheckConstraint("hash_kind IN ('hmac-sha256', 'argon2id')", name="api_passwords_hash_kind_known"),
    sa.CheckConstraint("hash_kind <> 'hmac-sha256' OR octet_length(digest) = 32", name="api_passwords_digest_length"),
    sa.CheckConstraint("valid_until_time >= valid_from_time", name="api_passwords_range_order"),
    sa.Index("api_passwords_by_label", "label"),
)

# Append-only: a trigger refuses UPDATE, DELETE and TRUNCATE for every role.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("audit_id", sa.BigInteger, sa.Identity(always=True)),
    sa.Column("label", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("detail", pg.JSONB, nullable=False),
    sa.Column("recorded_time", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("audit_id", name="audit_pk"),
    sa.Index("audit_by_label", "label", "audit_id"),
)
