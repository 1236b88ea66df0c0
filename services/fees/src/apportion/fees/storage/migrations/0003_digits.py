"""Terms know the digits of their money: of those that are there, those of ISO 4217, or else MT5's own default."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

# Rows are written once: a changed type asks no trigger.
STATEMENTS = (
    "ALTER TABLE terms ADD currency_digits smallint NOT NULL DEFAULT 2",
    """
    ALTER TABLE terms ALTER currency_digits DROP DEFAULT, ALTER currency_digits TYPE smallint USING CASE
        WHEN currency_code IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI',
            'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
        WHEN currency_code IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        WHEN currency_code IN ('CLF', 'UYW') THEN 4 ELSE 2 END
    """,
    "ALTER TABLE terms ADD CONSTRAINT terms_currency_digits_check CHECK (currency_digits BETWEEN 0 AND 8)",
    "COMMENT ON COLUMN terms.currency_digits IS 'Of the account''s currency on its trading server'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
