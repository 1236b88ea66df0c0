"""Decisions of 10 000 children by RPC, as a durable batch row, and as child rows behind it."""

from __future__ import annotations

import io
import itertools
import time
import uuid
from functools import partial
from typing import Any

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.bench import database
from tests.bench.calls import DOMAIN, bare_call, serve_bare, unary_seconds
from tests.bench.house import CLOCK, LABEL, PACKAGE, SPEC, SYMBOL, new_desk, open_masters
from tests.bench.kernel import CHILDREN, VOLUME_E8, bare_seconds
from tests.bench.measure import Row, duration, in_turn_async, latency, rate
from tests.bench.processes import on_client_core, serving
from tests.bench.servers import Servers

from apportion.allocation.domain.allocations import MasterTrade
from apportion.allocation.domain.masters import Master
from apportion.allocation.operations.decide_open_trade import OpenedTrade, decide_open_trade
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.gather_inputs import TradeToOpen
from apportion.allocation.operations.project_children import project_children
from apportion.allocation.servicers.allocations import AllocationsServicer
from apportion.allocation.storage.masters import load_deciding
from apportion.api.allocation.v1 import allocations_pb2, allocations_pb2_grpc
from apportion.money import E8
from apportion.rpc import Server, call_options, open_channel
from apportion.storage import create_engine, transaction

RPC_CALLS = 60
DECISIONS = 60
PROJECTED = 5

_tickets = itertools.count(1)


async def serve_allocations(database_url: str) -> tuple[str, object]:
    engine = create_engine(database_url)
    server = Server("127.0.0.1:0", tls=None, peers=None, domain=DOMAIN)
    servicer = AllocationsServicer(engine, new_desk(1), CLOCK)
    allocations_pb2_grpc.add_AllocationsServiceServicer_to_server(servicer, server.grpc)
    return await server.start(), (server, engine)


async def allocate_seconds(channel: grpc.aio.Channel, master: Master, *, include_children: bool) -> float:
    stub = allocations_pb2_grpc.AllocationsServiceStub(channel)

    async def allocate() -> None:
        ticket = next(_tickets)
        request = allocations_pb2.AllocateTradeRequest(
            request_id=str(uuid.uuid4()),
            master_id=master.master_id,
            deal_ticket=ticket,
            position_ticket=ticket,
            symbol=SYMBOL,
            volume_e8=VOLUME_E8,
            price_e8=E8,
            include_children=include_children,
        )
        answer = await stub.AllocateTrade(request, **call_options(LABEL, 5.0))
        assert answer.allocation.child_count > CHILDREN * 0.9

    return await latency(allocate, RPC_CALLS)


def new_trade(volume_e8: int = VOLUME_E8) -> TradeToOpen:
    """A deal of a master that nobody has seen yet."""
    ticket = next(_tickets)
    return TradeToOpen(MasterTrade(ticket, ticket, SYMBOL, volume_e8, E8, 0), SPEC)


async def decide(engine: AsyncEngine, desk: Desk, master_id: int, volume_e8: int = VOLUME_E8) -> OpenedTrade:
    """What the consumer does with a master's deal, and commits."""
    async with transaction(engine) as tx:
        master, ids = await load_deciding(tx, LABEL, master_id)
        opened = await decide_open_trade(tx, desk, ids, master, new_trade(volume_e8), by_command=False, now=CLOCK.now())
    if opened.fresh is not None:
        desk.remember(opened.fresh.subscriptions)
    return opened


async def preview_seconds(channel: grpc.aio.Channel, master: Master, *, include_children: bool) -> float:
    stub = allocations_pb2_grpc.AllocationsServiceStub(channel)

    async def preview() -> None:
        request = allocations_pb2.PreviewTradeRequest(
            master_id=master.master_id, symbol=SYMBOL, volume_e8=VOLUME_E8, include_children=include_children
        )
        answer = await stub.PreviewTrade(request, **call_options(LABEL, 5.0))
        assert answer.allocation.child_count > CHILDREN * 0.9

    return await latency(preview, RPC_CALLS)


async def projected_children_a_second(engine: AsyncEngine, desk: Desk, master_id: int) -> float:
    """The loop behind the hot path that makes a row of each child."""
    async with transaction(engine) as tx:  # what earlier measurements have left is not to be made now
        await tx.execute(text("UPDATE allocations SET projected_time = now() WHERE projected_time IS NULL"))
        await tx.execute(text("TRUNCATE child_trades CASCADE"))
    for _ in range(PROJECTED):
        await decide(engine, desk, master_id)
    started = time.perf_counter()
    assert await project_children(engine, now=CLOCK.now()) == PROJECTED
    return PROJECTED * CHILDREN / (time.perf_counter() - started)


async def bare_children_a_second(connection: Any) -> float:
    """COPY of the very same rows, already encoded, into a table with the same indexes and checks."""
    rows = io.BytesIO()
    newest = f"SELECT * FROM child_trades ORDER BY child_trade_id DESC LIMIT {PROJECTED * CHILDREN}"
    await connection.copy_from_query(newest, output=rows, format="binary")
    await connection.execute("CREATE TABLE IF NOT EXISTS bare_children (LIKE child_trades INCLUDING ALL)")
    await connection.execute("TRUNCATE bare_children")
    rows.seek(0)
    started = time.perf_counter()
    await connection.copy_to_table("bare_children", source=rows, format="binary")
    return PROJECTED * CHILDREN / (time.perf_counter() - started)


async def rows(servers: Servers) -> list[Row]:
    url = await servers.database("allocation", PACKAGE)
    engine, connection = create_engine(url), await database.connect(url)
    [master] = await open_masters(engine, 1)
    try:
        return [
            *await durable_rows(engine, connection, master),
            *await rpc_rows(url, connection, master),
        ]
    finally:
        await connection.close()
        await engine.dispose()


async def durable_rows(engine: AsyncEngine, connection: Any, master: Master) -> list[Row]:
    desk = new_desk(1)
    ours, floor, ratio = await in_turn_async(
        lambda: latency(lambda: decide(engine, desk, master.master_id), DECISIONS),
        lambda: database.insert_seconds(connection),
    )
    batch = Row("durable allocation as a batch row, 10k", duration(ours), f"insert {duration(floor)}", ratio, 3, 8)
    ours, floor, ratio = await in_turn_async(
        lambda: projected_children_a_second(engine, desk, master.master_id),
        lambda: bare_children_a_second(connection),
    )
    return [batch, Row("child rows behind it", rate(ours), f"COPY, same indexes {rate(floor)}", ratio, 0.80, 0.5)]


async def rpc_rows(url: str, connection: Any, master: Master) -> list[Row]:
    """Against a call that answers from memory, and against one that answers when its one row is durable."""
    found = []
    with serving(serve_bare) as bare_address, serving(serve_allocations, url) as our_address, on_client_core():
        async with (
            grpc.aio.insecure_channel(bare_address) as bare_channel,
            open_channel(our_address, tls=None, service=DOMAIN) as channel,
        ):
            bare = bare_call(bare_channel)

            async def in_memory() -> float:
                return await unary_seconds(bare) + bare_seconds()

            async def durable() -> float:
                return await in_memory() + await database.insert_seconds(connection)

            floors = {"unary + kernel": in_memory, "unary + kernel + insert": durable}
            replies = (("summary", False, 1.4, 2.5), ("5k columns", True, 1.8, 4.0))
            for (floor_name, floor), (name, include, good, fail) in itertools.product(floors.items(), replies):
                ours, bottom, ratio = await in_turn_async(
                    partial(allocate_seconds, channel, master, include_children=include), floor
                )
                headline = f"Allocate RPC, durable, 10k, {name} in the reply"
                found.append(Row(headline, duration(ours), f"{floor_name} {duration(bottom)}", ratio, good, fail))
            for name, include, good, fail in replies:  # decides as well, and stores nothing
                ours, bottom, ratio = await in_turn_async(
                    partial(preview_seconds, channel, master, include_children=include), in_memory
                )
                headline = f"Preview RPC, 10k, {name} in the reply"
                found.append(Row(headline, duration(ours), f"unary + kernel {duration(bottom)}", ratio, good, fail))
    return found
