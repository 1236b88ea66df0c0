"""Masters know the digits of their money; the contract sizes of decisions count in 1e-8.

What was there before was computed with the digits of ISO 4217, and MT5's own default where that has none.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

STATEMENTS = (
    "ALTER TABLE masters ADD currency_digits smallint NOT NULL DEFAULT 2",
    """
    UPDATE masters SET currency_digits = CASE
        WHEN currency_code IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        WHEN currency_code IN ('CLF', 'UYW') THEN 4 ELSE 0 END
    WHERE currency_code IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND',
        'VUV', 'XAF', 'XOF', 'XPF', 'BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND', 'CLF', 'UYW')
    """,
    """
    ALTER TABLE masters ALTER currency_digits DROP DEFAULT,
        ADD CONSTRAINT masters_currency_digits_check CHECK (currency_digits BETWEEN 0 AND 8)
    """,
    "ALTER TABLE allocations RENAME contract_size TO contract_size_e8",
    "UPDATE allocations SET contract_size_e8 = contract_size_e8 * 100000000 WHERE contract_size_e8 <> 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
