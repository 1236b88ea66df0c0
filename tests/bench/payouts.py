"""A pooled master's close with 10 000 and 100 000 records: decided and durable, handed over, booked."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.bench import database
from tests.bench.allocation import decide
from tests.bench.calls import DOMAIN
from tests.bench.house import CLOCK, LABEL, PACKAGE, new_desk, open_masters
from tests.bench.kernel import STEP_E8
from tests.bench.measure import Row, in_turn_async, rate
from tests.bench.processes import on_client_core, serving
from tests.bench.servers import Servers

from apportion.allocation.domain.deal_money import DealMoney
from apportion.allocation.operations.decide_close_trade import decide_close_trade
from apportion.allocation.operations.project_children import project_children
from apportion.allocation.storage.masters import load_deciding
from apportion.allocation.storage.payouts import PAYOUTS
from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.payments import Backoff, PaymentResults, PaymentState, PlatformTransfers, Waits, dispatch_payments
from apportion.payments.dispatcher import BATCH_ROWS
from apportion.rpc import open_channel
from apportion.storage import create_engine, transaction

SIZES = (10_000, 100_000)
WAITS = Waits(1, Backoff(1, 60), Backoff(60, 3600))
ROUNDS = 3
NEWEST = "SELECT * FROM payouts WHERE allocation_id = (SELECT max(allocation_id) FROM payouts)"


class Acceptor(transfers_pb2_grpc.TransfersServiceServicer):
    """Platform-groups as fast as it can be: every transfer is accepted, none is kept."""

    async def BatchTransferFunds(self, request: transfers_pb2.BatchTransferFundsRequest, context: object) -> Any:
        return transfers_pb2.BatchTransferFundsResponse(accepted_count=len(request.item_ids))


async def serve_acceptor() -> tuple[str, object]:
    server = grpc.aio.server()
    transfers_pb2_grpc.add_TransfersServiceServicer_to_server(Acceptor(), server)  # type: ignore[abstract]  # as in sizes.py
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return f"127.0.0.1:{port}", server


async def rows(servers: Servers) -> list[Row]:
    found = []
    with serving(serve_acceptor) as address, on_client_core():
        async with open_channel(address, tls=None, service=DOMAIN) as channel:
            for count in SIZES:
                found += await _measure(servers, channel, count)
    return found


async def _measure(servers: Servers, channel: grpc.aio.Channel, count: int) -> list[Row]:
    url = await servers.database(f"payouts_{count}", PACKAGE)
    engine, connection = create_engine(url, statement_timeout_ms=60_000), await database.connect(url)
    await connection.execute("CREATE TABLE bare_payouts (LIKE payouts INCLUDING ALL)")
    try:
        await open_masters(engine, 1, count)
        async with transaction(engine) as tx:
            await tx.execute(text("UPDATE masters SET allocation_mode = 2"))
        transfers = PlatformTransfers(channel, PAYOUTS.source, 5.0)
        found = []
        for name, ours, gates in (
            ("closed, decided and durable", partial(_close_seconds, engine, count), (4, 10)),
            ("handed over to platform-groups", partial(_hand_over_seconds, engine, transfers, count), (4, 10)),
            ("booked by its results", partial(_settle_seconds, engine, count), (3, 8)),
        ):
            taken, floor, ratio = await in_turn_async(ours, partial(_copy_seconds, connection), ROUNDS)
            headline = f"profit to {count:,}: {name}"
            found.append(
                Row(headline, rate(count / taken), f"COPY of the payouts {rate(count / floor)}", ratio, *gates)
            )
        return found
    finally:
        await connection.close()
        await engine.dispose()


async def _close_seconds(engine: AsyncEngine, count: int) -> float:
    """From the deal as it was read to the commit, the records' rows being there."""
    desk, volume_e8 = new_desk(1, count), count * 20 * STEP_E8
    async with transaction(engine) as tx:
        master_id = (await tx.execute(text("SELECT master_id FROM masters"))).scalar_one()
    opening = (await decide(engine, desk, master_id, volume_e8)).allocation.trade
    assert await project_children(engine, now=CLOCK.now()) == 1
    closing = replace(
        opening, deal_ticket=-opening.deal_ticket, volume_e8=-volume_e8, money=DealMoney(count * 1_003, -count, -77)
    )
    started = time.perf_counter()
    async with transaction(engine) as tx:
        master, ids = await load_deciding(tx, LABEL, master_id)
        await decide_close_trade(tx, ids, master, closing, now=CLOCK.now())
    return time.perf_counter() - started


async def _hand_over_seconds(engine: AsyncEngine, transfers: PlatformTransfers, count: int) -> float:
    """What the dispatcher does after a close, until nothing is left to hand over."""
    await _hand_over_all(engine, transfers)
    await _close_seconds(engine, count)
    started = time.perf_counter()
    handed = await _hand_over_all(engine, transfers)
    assert handed > count * 0.99
    return time.perf_counter() - started


async def _hand_over_all(engine: AsyncEngine, transfers: PlatformTransfers) -> int:
    handed = 0
    while batch := await dispatch_payments(engine, PAYOUTS, transfers, CLOCK, WAITS):
        handed += batch
    return handed


async def _settle_seconds(engine: AsyncEngine, count: int) -> float:
    """Results of a close in events of one batch each, each in a transaction of its own."""
    await _close_seconds(engine, count)
    async with transaction(engine) as tx:
        items = [row.item_id for row in await tx.execute(text(f"{NEWEST} ORDER BY item_id"))]
    started = time.perf_counter()
    for first in range(0, len(items), BATCH_ROWS):
        part = items[first : first + BATCH_ROWS]
        results = PaymentResults(part, part, [PaymentState.PAID] * len(part), [""] * len(part))
        async with transaction(engine) as tx:
            paid, _ = await PAYOUTS.settle(tx, LABEL, results, now=CLOCK.now(), retry=WAITS.retry)
            assert paid == len(part)
    return time.perf_counter() - started


async def _copy_seconds(connection: Any) -> float:
    """COPY of the newest payouts, already encoded, into a table with the same indexes and checks."""
    encoded = io.BytesIO()
    await connection.copy_from_query(NEWEST, output=encoded, format="binary")
    await connection.execute("TRUNCATE bare_payouts")
    encoded.seek(0)
    started = time.perf_counter()
    await connection.copy_to_table("bare_payouts", source=encoded, format="binary")
    return time.perf_counter() - started
