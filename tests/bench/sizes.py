"""One allocation to 100, 1 000, 10 000 and 100 000 subscriptions: how it grows, and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.bench import database
from tests.bench.allocation import decide, new_trade
from tests.bench.calls import DOMAIN
from tests.bench.house import CLOCK, LABEL, PACKAGE, new_desk, open_masters
from tests.bench.kernel import STEP_E8, bare_kernel, equities
from tests.bench.measure import Row, duration, in_turn_async, latency, seconds
from tests.bench.processes import on_client_core, serving
from tests.bench.servers import Servers

from apportion.allocation.adapters.platform_groups import PlatformOrders
from apportion.allocation.domain.child_orders import child_orders
from apportion.allocation.domain.open_inputs import OpenInputs
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.retries import NO_RETRIES
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.allocation.operations.gather_inputs import gather_inputs
from apportion.allocation.operations.project_children import project_children
from apportion.allocation.storage.masters import load_deciding
from apportion.api.platform_groups.v1 import trading_pb2, trading_pb2_grpc
from apportion.rpc import open_channel
from apportion.storage import create_engine, transaction

SIZES = (100, 1_000, 10_000, 100_000)
VOLUME_PER_CHILD_E8 = 20 * STEP_E8
REPEAT = {100: 60, 1_000: 60, 10_000: 40, 100_000: 10}
"""Decisions in one round."""
SENDS = 5
STORED_BYTES = text(
    """
    SELECT octet_length(a.volumes) + octet_length(a.bases) + octet_length(a.reasons)
           + coalesce((SELECT octet_length(o.payload) FROM outbox AS o
                       WHERE o.aggregate_type = 'allocations' ORDER BY o.sequence DESC LIMIT 1), 0)
    FROM allocations AS a ORDER BY a.allocation_id DESC LIMIT 1
    """
)


class Acceptor(trading_pb2_grpc.TradingServiceServicer):
    """Platform-groups as fast as it can be: every order is accepted, none is kept."""

    async def SubmitOrders(self, request: trading_pb2.SubmitOrdersRequest, context: object) -> Any:
        return trading_pb2.SubmitOrdersResponse()


async def serve_acceptor() -> tuple[str, object]:
    server = grpc.aio.server()
    trading_pb2_grpc.add_TradingServiceServicer_to_server(Acceptor(), server)  # type: ignore[abstract]  # only what is called
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return f"127.0.0.1:{port}", server


@dataclass(frozen=True)
class Stages:
    """Seconds of one allocation. `first` is the first one after a change of the subscriptions, whose set is made."""

    count: int
    whole: float
    floor: float
    ratio: float
    stored_bytes: int
    read: float
    decide: float
    send: float
    project: float
    first: float


async def rows(servers: Servers) -> list[Row]:
    found: list[Stages] = []
    with serving(serve_acceptor) as address, on_client_core():
        async with open_channel(address, tls=None, service=DOMAIN) as channel:
            for count in SIZES:
                found.append(await _measure(servers, channel, count))
    rows = [_row(stages) for stages in found]
    for smaller, larger in pairwise(found):
        grows = larger.count / smaller.count
        for name in ("whole", "send", "project", "first"):
            before, after = getattr(smaller, name), getattr(larger, name)
            headline = f"{NAMES[name]}, {smaller.count:,} → {larger.count:,}, growth"
            rows.append(Row(headline, duration(after), duration(before), after / before, grows, 1.3 * grows))
    return rows


NAMES = {
    "whole": "decided and durable",
    "send": "… sent to platform-groups",
    "project": "… rows of its children",
    "first": "… first one after a change",
}


def _row(stages: Stages) -> Row:
    store = max(0.0, stages.whole - stages.read - stages.decide)
    shares = ", ".join(
        f"{name} {100 * part / (stages.whole + stages.send):.0f} %"
        for name, part in (("read", stages.read), ("decide", stages.decide), ("store", store), ("send", stages.send))
    )
    headline = f"allocation to {stages.count:,}: {shares}"
    floor = f"kernel + insert of {stages.stored_bytes:,} B {duration(stages.floor)}"
    return Row(headline, duration(stages.whole), floor, stages.ratio, 3, 8)


async def _measure(servers: Servers, channel: grpc.aio.Channel, count: int) -> Stages:
    url = await servers.database(f"allocation_{count}", PACKAGE)
    engine, connection = create_engine(url, statement_timeout_ms=60_000), await database.connect(url)
    try:
        [master] = await open_masters(engine, 1, count)
        desk, volume_e8 = new_desk(1, count), count * VOLUME_PER_CHILD_E8
        once = partial(decide, engine, desk, master.master_id, volume_e8)
        first = await _first_seconds(engine, count, master.master_id, volume_e8)
        await once()
        async with transaction(engine) as tx:
            stored_bytes = int((await tx.execute(STORED_BYTES)).scalar_one())
        repeat = REPEAT[count]
        weights = equities(count)

        async def floor() -> float:
            kernel = seconds(lambda: bare_kernel(volume_e8 // STEP_E8, weights), repeat)
            return kernel + await database.insert_seconds(connection, stored_bytes)

        whole, bottom, ratio = await in_turn_async(lambda: latency(once, repeat), floor)
        read, inputs = await _read_seconds(engine, desk, master.master_id, volume_e8, repeat)
        deciding = seconds(lambda: decide_open(inputs), repeat)
        send = median([await _send_seconds(engine, desk, channel, once) for _ in range(SENDS)])
        project = await _project_seconds(engine, once)
        return Stages(count, whole, bottom, ratio, stored_bytes, read, deciding, send, project, first)
    finally:
        await connection.close()
        await engine.dispose()


async def _first_seconds(engine: AsyncEngine, count: int, master_id: int, volume_e8: int) -> float:
    """By a desk that knows nothing, of a set that is not stored: it is made, from the rows of the subscriptions."""
    taken = []
    for _ in range(3):
        async with transaction(engine) as tx:
            await tx.execute(text("UPDATE masters SET set_version = set_version + 1"))
        desk = new_desk(1, count)
        started = time.perf_counter()
        await decide(engine, desk, master_id, volume_e8)
        taken.append(time.perf_counter() - started)
    return median(taken)


async def _read_seconds(
    engine: AsyncEngine, desk: Desk, master_id: int, volume_e8: int, repeat: int
) -> tuple[float, OpenInputs]:
    """All that a decision reads, in a transaction as its own."""
    found: list[OpenInputs] = []

    async def read() -> None:
        async with transaction(engine) as tx:
            master, _ = await load_deciding(tx, LABEL, master_id)
            subscriptions = await desk.subscriptions(tx, master)
            found[:] = [await gather_inputs(tx, desk, master, subscriptions, new_trade(volume_e8), CLOCK.now())]

    return await latency(read, repeat), found[0]


async def _send_seconds(
    engine: AsyncEngine, desk: Desk, channel: grpc.aio.Channel, once: Callable[[], Awaitable[Any]]
) -> float:
    """From the committed decision until all its orders are accepted."""
    opened = await once()
    started = time.perf_counter()
    orders = child_orders(opened.allocation, opened.fresh.columns, opened.fresh.routes)
    await dispatch_allocation(
        engine,
        PlatformOrders(channel, 5.0),
        LABEL,
        opened.allocation.allocation_id,
        orders,
        retries=NO_RETRIES,
        clock=CLOCK,
    )
    return time.perf_counter() - started


async def _project_seconds(engine: AsyncEngine, once: Callable[[], Awaitable[Any]]) -> float:
    """The rows of one decision's children, behind the hot path."""
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE allocations SET projected_time = now() WHERE projected_time IS NULL"))
        await tx.execute(text("TRUNCATE child_trades CASCADE"))
    await once()
    started = time.perf_counter()
    assert await project_children(engine, now=CLOCK.now()) == 1
    return time.perf_counter() - started
