"""What tests of operations and workers begin with: one account on one trading server, and what is under way."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import ServerDeal
from apportion.platform_groups.domain.shards import lease_key, shard_of
from apportion.platform_groups.domain.states import DealAction, DealEntry, LegKind, LegState
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

SERVER_ID, GROUP_ID, ACCOUNT_ID, LOGIN = 1, 4, 7, 1001
GROUP = "demo"
SHARD = shard_of(ACCOUNT_ID)
LEASE_KEY = lease_key(SERVER_ID, SHARD)

SERVER_ROW = f"""
    INSERT INTO trading_servers (trading_server_id, label, name, type, kind, host, port, time_zone, manager_login,
        manager_password_sealed, ca_certificate_pem, region, liquidity_provider, create_time)
    VALUES ({SERVER_ID}, 1, 'demo', 1, 1, 'mt5', 443, 'Europe/Helsinki', 1000, '', '', '', '', now())"""
GROUP_ROW = f"""
    INSERT INTO platform_groups (platform_group_id, label, trading_server_id, name, server_group, currency_code,
        currency_digits, default_leverage, account_capacity, weight, tags, backup_platform_group_id, create_time)
    VALUES ({GROUP_ID}, 1, {SERVER_ID}, 'demo', '{GROUP}', 'USD', 2, 100, 0, 1, '{{}}', 0, now())"""
ACCOUNT_ROW = f"""
    INSERT INTO accounts (account_id, label, platform_group_id, trading_server_id, kind, state, access, wanted_access,
        login, currency_code, currency_digits, leverage, holder_name, wallet_account_id, initial_balance_minor,
        request_id, attempt_time, create_time)
    VALUES ({ACCOUNT_ID}, 1, {GROUP_ID}, {SERVER_ID}, 1, 2, 1, 1, {LOGIN}, 'USD', 2, 100, 'Ada', 0, 0,
        gen_random_uuid(), now(), now())"""

OPEN_ROW = f"""
    INSERT INTO orders (label, trading_server_id, shard, account_id, login, source_id, item_id, ordering_key, purpose,
        symbol, volume_e8, sent_volume_e8, position_ticket, stop_loss_e8, take_profit_e8, state, not_after_time,
        next_attempt_time, create_time, update_time)
    VALUES (1, {SERVER_ID}, {SHARD}, {ACCOUNT_ID}, {LOGIN}, 'open', 1, 7, 1, 'EURUSD', 40000000, 40000000, 0, 0, 0, 1,
        now() + interval '1 hour', now(), now(), now())"""
CLOSE_ROW = f"""
    INSERT INTO orders (label, trading_server_id, shard, account_id, login, source_id, item_id, ordering_key, purpose,
        symbol, volume_e8, sent_volume_e8, position_ticket, stop_loss_e8, take_profit_e8, state, next_attempt_time,
        create_time, update_time)
    VALUES (1, {SERVER_ID}, {SHARD}, {ACCOUNT_ID}, {LOGIN}, 'close', 1, 7, 2, 'EURUSD', -40000000, -40000000, 9, 0, 0,
        1, now(), now(), now())"""
WITHDRAWAL_ROW = f"""
    INSERT INTO transfers (transfer_id, label, source, item_id, source_id, ordering_key, debit_account_id,
        credit_account_id, currency_code, amount_minor, state, cause, create_time)
    VALUES (1, 1, 'fees', 1, 'fees/1', 1, {ACCOUNT_ID}, 0, 'USD', 250, 1, 'test', now())"""

TRADE = ServerDeal(
    deal_ticket=1,
    login=LOGIN,
    order_ticket=1,
    position_ticket=1,
    action=DealAction.TRADE,
    entry=DealEntry.IN,
    symbol="EURUSD",
    volume_e8=1_000_000,
    price_e8=110_000_000,
    profit_minor=0,
    swap_minor=0,
    commission_minor=0,
    server_time_ms=0,
    reason=0,
    stop_loss_e8=0,
    take_profit_e8=0,
    comment="",
    by_client=True,
)


def leg_row(leg_id: int, kind: LegKind, state: LegState) -> str:
    """A leg of the withdrawal."""
    amount_minor = -250 if kind is LegKind.DEBIT else 250
    return f"""
        INSERT INTO transfer_legs (leg_id, transfer_id, kind, trading_server_id, shard, account_id, login, amount_minor,
            currency_digits, state, next_attempt_time, update_time)
        VALUES ({leg_id}, 1, {kind:d}, {SERVER_ID}, {SHARD}, {ACCOUNT_ID}, {LOGIN}, {amount_minor}, 2, {state:d}, now(),
            now())"""


async def store(engine: AsyncEngine, *rows: str) -> None:
    """These rows, by their statements."""
    async with transaction(engine) as tx:
        for row in rows:
            await tx.execute(text(row))


async def shard_keeper(engine: AsyncEngine, clock: Clock, owner: str = "one") -> LeaseKeeper:
    """Holds the account's shard, which it takes from whoever had it."""
    await store(engine, "UPDATE leases SET lease_until = '-infinity'", "DELETE FROM workers")
    keeper = LeaseKeeper(engine, "egress", [LEASE_KEY], owner, clock=clock, ttl_seconds=60)
    await keeper.refresh()
    return keeper


async def take_shard(engine: AsyncEngine, clock: Clock, owner: str = "one") -> Lease:
    """The lease of the account's shard, from whoever had it."""
    return (await shard_keeper(engine, clock, owner)).held[LEASE_KEY]
