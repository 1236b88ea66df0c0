"""Settings and state of subscriptions; allocation mode of masters."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# The settings as the service encodes them; their digest is taken over these bytes.
DEFAULT = (
    '{"direction_filter":0,"reverse":false,"ignore_stops":false,"allowed_symbols":[],"denied_symbols":[],'
    '"symbol_map":[],"max_lot_e8":0,"max_total_lot_e8":0,"max_open_positions":0,"max_slippage_points":0,'
    '"max_age_ms":0,"round_up_to_min":false,"max_round_up_factor_e8":0,"close_small_rest":false,'
    '"copy_open_positions":false,"leave_policy":1}'
)
ROUNDS_UP = DEFAULT.replace('"round_up_to_min":false', '"round_up_to_min":true')

SETTINGS = f"""
CREATE TABLE copy_settings (
    copy_settings_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT copy_settings_pkey PRIMARY KEY,
    digest bytea NOT NULL CONSTRAINT copy_settings_digest_key UNIQUE,
    settings jsonb NOT NULL
);
INSERT INTO copy_settings (digest, settings) VALUES
    (sha256(convert_to('{DEFAULT}', 'UTF8')), '{DEFAULT}'),
    (sha256(convert_to('{ROUNDS_UP}', 'UTF8')), '{ROUNDS_UP}');
"""
SUBSCRIPTIONS = """
ALTER TABLE subscriptions
    ADD lot_mode smallint NOT NULL DEFAULT 1 CONSTRAINT subscriptions_lot_mode_check CHECK (lot_mode BETWEEN 1 AND 4),
    ADD copy_settings_id bigint NOT NULL DEFAULT 1
        CONSTRAINT subscriptions_copy_settings_fkey REFERENCES copy_settings,
    ADD state smallint NOT NULL DEFAULT 1 CONSTRAINT subscriptions_state_check CHECK (state BETWEEN 1 AND 3),
    ADD end_time timestamptz,
    ADD CONSTRAINT subscriptions_active_check CHECK (state = 1 OR NOT active);
UPDATE subscriptions SET copy_settings_id = 2 WHERE round_up_to_min;
ALTER TABLE subscriptions DROP round_up_to_min, DROP CONSTRAINT subscriptions_account_key;
CREATE UNIQUE INDEX subscriptions_account_key ON subscriptions (master_id, account_id) WHERE state < 3;
"""
# Bit 2 of the flags was "round up to min lot". A column of equal values is kept as one value.
SETS = """
ALTER TABLE subscription_sets
    DROP CONSTRAINT subscription_sets_length_check,
    ADD lots_e8 bytea NOT NULL DEFAULT int8send(0),
    ADD percents_e8 bytea NOT NULL DEFAULT int8send(0),
    ADD modes bytea NOT NULL DEFAULT '\\x01',
    ADD settings_ids bytea NOT NULL DEFAULT '';
UPDATE subscription_sets AS s SET
    settings_ids = coalesce((
        SELECT string_agg(CASE WHEN get_byte(flags, n) & 2 = 0 THEN bytea '\\x0100000000000000'
                          ELSE bytea '\\x0200000000000000' END, '' ORDER BY n)
        FROM generate_series(0, row_count - 1) AS n), ''),
    flags = coalesce((
        SELECT string_agg(set_byte('\\x00', 0, get_byte(flags, n) & 1), '' ORDER BY n)
        FROM generate_series(0, row_count - 1) AS n), '');
ALTER TABLE subscription_sets
    ALTER lots_e8 DROP DEFAULT, ALTER percents_e8 DROP DEFAULT, ALTER modes DROP DEFAULT,
    ALTER settings_ids DROP DEFAULT,
    ADD CONSTRAINT subscription_sets_length_check CHECK (
        octet_length(subscription_ids) = row_count * 8 AND octet_length(account_ids) = row_count * 8
        AND octet_length(logins) = row_count * 8 AND octet_length(flags) IN (1, row_count)
        AND octet_length(ratios_e8) IN (8, row_count * 8) AND octet_length(lots_e8) IN (8, row_count * 8)
        AND octet_length(percents_e8) IN (8, row_count * 8) AND octet_length(modes) IN (1, row_count)
        AND octet_length(settings_ids) IN (8, row_count * 8)),
    ALTER lots_e8 SET STORAGE EXTERNAL, ALTER percents_e8 SET STORAGE EXTERNAL, ALTER modes SET STORAGE EXTERNAL,
    ALTER settings_ids SET STORAGE EXTERNAL;
"""
MASTERS = """
ALTER TABLE masters
    ADD allocation_mode smallint NOT NULL DEFAULT 1
        CONSTRAINT masters_allocation_mode_check CHECK (allocation_mode IN (1, 2)),
    ADD artificial_symbol text NOT NULL DEFAULT 'CREDITEARN',
    ADD residual_rule smallint NOT NULL DEFAULT 1
        CONSTRAINT masters_residual_rule_check CHECK (residual_rule IN (1, 2));
ALTER TABLE masters ALTER allocation_mode DROP DEFAULT, ALTER artificial_symbol DROP DEFAULT,
    ALTER residual_rule DROP DEFAULT;
"""


def upgrade() -> None:
    for statement in ";".join((SETTINGS, SUBSCRIPTIONS, SETS, MASTERS)).split(";"):
        if statement.strip():
            op.execute(statement.replace(":", "\\:"))
