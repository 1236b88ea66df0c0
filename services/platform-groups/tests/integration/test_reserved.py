"""What stops losses goes on while everything else is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from sqlalchemy import text

from apportion.api.platform_groups.v1 import trading_pb2, transfers_pb2
from apportion.platform_groups.app import DATABASE_CONNECTIONS, READ_CONNECTIONS
from apportion.storage import transaction
from apportion.testing.polling import eventually

SLOW_SECONDS = 600.0
SERVER_CONNECTIONS = 2
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%transfers%'")


@asynccontextmanager
async def under_way(calls: list[Awaitable[object]]) -> AsyncIterator[list[asyncio.Future[object]]]:
    """Calls that nobody waits for; those that are not answered at the end are given up."""
    running = [asyncio.ensure_future(call) for call in calls]
    try:
        yield running
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def closed(platform, account_id: int) -> trading_pb2.Closing:
    """Close everything; the closing when the account is flat."""
    request = trading_pb2.CloseAllPositionsRequest(
        request_id=platform.new_id(), account_id=account_id, cause="daily limit"
    )
    closing = (await platform.trading.CloseAllPositions(request, **platform.options())).closing

    async def flat() -> trading_pb2.Closing | None:
        request = trading_pb2.GetClosingRequest(closing_id=closing.closing_id)
        found = (await platform.trading.GetClosing(request, **platform.options())).closing
        return found if found.state == trading_pb2.CLOSING_STATE_FLAT else None

    return await eventually(flat, 60)


async def test_a_closing_waits_for_no_slow_report_of_the_server(start, own_simulator) -> None:
    async with start(server_connections=SERVER_CONNECTIONS, server_timeout_seconds=60, answer_timeout_seconds=60) as (
        platform
    ):
        await platform.set_up(own_simulator)
        account = await platform.account(balance_minor=1_000_000)
        await platform.submit("open", [(account.account_id, 10_000_000)])
        await platform.finished("open")
        fault = await own_simulator.admin.add_fault(
            "latency", endpoint="position/get_batch", seconds=SLOW_SECONDS, count=None
        )
        report = trading_pb2.BatchGetPositionsRequest(account_ids=[account.account_id])
        calls = [
            platform.trading.BatchGetPositions(report, **platform.options()) for _ in range(3 * SERVER_CONNECTIONS)
        ]
        async with under_way(calls) as reports:

            async def all_connections_are_busy() -> bool:
                return await own_simulator.admin.fired(fault) == SERVER_CONNECTIONS

            await eventually(all_connections_are_busy, 60)
            closing = await closed(platform, account.account_id)
            assert len(closing.position_tickets) == 1
            assert not any(report.done() for report in reports)
    await own_simulator.kill()  # it would wait for its slow answers


async def test_a_closing_is_accepted_while_lists_wait_for_the_database(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)

        async def waiting_count() -> int:
            async with transaction(platform.engine) as tx:
                return int((await tx.execute(WAITING)).scalar_one())

        async def all_read_connections_wait() -> bool:
            return await waiting_count() == READ_CONNECTIONS

        async with transaction(platform.engine) as blocker:
            await blocker.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await blocker.execute(text("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE"))
            listing = transfers_pb2.ListTransfersRequest(account_id=account.account_id)
            calls = [
                platform.transfers.ListTransfers(listing, **platform.options())
                for _ in range(READ_CONNECTIONS + DATABASE_CONNECTIONS)
            ]
            async with under_way(calls):
                await eventually(all_read_connections_wait, 60)
                await closed(platform, account.account_id)
                assert await waiting_count() <= READ_CONNECTIONS
