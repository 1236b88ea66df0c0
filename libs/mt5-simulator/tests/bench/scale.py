"""How the simulator bears a whole broker: many accounts, many order requests in flight. Prints one line per figure.

    .venv/bin/python libs/mt5-simulator/tests/bench/scale.py --accounts 100000 --requests 10000

The server is a process of its own; the client is ours, on the same machine, so that both share its processors.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apportion.mt5 import Connection, DealerRequest, Endpoint, dealer
from apportion.mt5.accounts import Account, columns_of
from apportion.mt5.positions import Position
from apportion.mt5_simulator.process import SimulatorProcess

GROUP = "demo\\forex-hedge-usd"
LOT_E8 = 100_000_000
PER_CONNECTION = 128


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stopwatch:
    """Prints what a step took on the wall, and of that the server's own processor time, which other load spares."""

    def __init__(self, server_pid: int) -> None:
        self._pid = server_pid

    @contextmanager
    def __call__(self, what: str, count: int) -> Iterator[None]:
        start, used = time.perf_counter(), processor_seconds(self._pid)
        yield
        seconds, used = time.perf_counter() - start, processor_seconds(self._pid) - used
        rate = f"{count / used:12.0f} /s" if used else ""
        print(f"{what:<48} {1000 * seconds:8.0f} ms, server {1000 * used:7.0f} ms {rate}", flush=True)


async def measure(simulator: SimulatorProcess, account_count: int, request_count: int) -> None:
    timed = Stopwatch(simulator.pid)
    endpoint = Endpoint(
        simulator.https_url,
        simulator.manager_login,
        simulator.manager_password,
        ca_pem=simulator.ca_file.read_text(),
        timeout_seconds=600,
    )
    connections = [Connection(endpoint) for _ in range(-(-request_count // PER_CONNECTION))]
    with timed("open accounts and deposit", account_count):
        logins = []
        for _ in range(0, account_count, 1_000):
            part = await simulator.create_accounts(GROUP, min(1_000, account_count), deposit="100000")
            logins += part
    with timed("log connections in", len(connections)):
        await asyncio.gather(*(connection.call("test/access") for connection in connections))
    with timed("user/get_batch", account_count):
        await connections[0].call("user/get_batch", {"group": GROUP})
    await read(timed, connections[0], "nobody has traded", account_count)
    await simulator.set_price("EURUSD", "1.10000", "1.10010")
    await orders(timed, connections, logins[:request_count])
    await simulator.admin.freeze()
    await read(timed, connections[0], "after the orders", account_count)
    await read(timed, connections[0], "nothing has changed", account_count)
    await simulator.set_price("EURUSD", "1.10010", "1.10020")
    await read(timed, connections[0], "after a price", account_count)
    with timed("prices that reach no stop", 500):
        for step in range(500):
            await simulator.set_price("EURUSD", f"1.10{step % 100:03}", "1.10120")
    await asyncio.gather(*(connection.close() for connection in connections))


async def orders(timed: Stopwatch, connections: list[Connection], logins: list[int]) -> None:
    """All requests are queued before any result is asked for."""
    shares = [logins[index :: len(connections)] for index in range(len(connections))]
    sent: list[list[int]] = [[] for _ in connections]

    async def send(index: int) -> None:
        for login in shares[index]:
            request = DealerRequest(
                login, "EURUSD", 5, LOT_E8 // 10, "bench", stop_loss_e8=100_000_000, take_profit_e8=120_000_000
            )
            sent[index].append(await dealer.send(connections[index], request))

    async def collect(index: int) -> int:
        waiting, filled = set(sent[index]), 0
        while waiting:
            results = await dealer.results(connections[index], sorted(waiting))
            waiting -= set(results.finished) | set(results.gone)
            filled += sum(confirmation.retcode == 10009 for confirmation in results.finished.values())
        return filled

    with timed("queue order requests", len(logins)):
        await asyncio.gather(*(send(index) for index in range(len(connections))))
    with timed("read their results", len(logins)):
        filled = sum(await asyncio.gather(*(collect(index) for index in range(len(connections)))))
    assert filled == len(logins), f"{filled} of {len(logins)} filled"


async def read(timed: Stopwatch, connection: Connection, when: str, account_count: int) -> None:
    with timed(f"user/account/get_batch, {when}", account_count):
        reply = await connection.call("user/account/get_batch", {"group": GROUP})
    with timed(f"  parsed by our client ({len(reply.raw) >> 20} MiB)", account_count):
        columns = columns_of(reply.as_type(list[Account]))
    with timed(f"position/get_batch, {when}", account_count):
        reply = await connection.call("position/get_batch", {"group": GROUP})
    positions = reply.as_type(list[Position])
    print(f"  {len(columns.logins)} states, {len(positions)} positions")


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--accounts", type=int, default=100_000)
    arguments.add_argument("--requests", type=int, default=10_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with SimulatorProcess(Path(folder), prices="walk") as simulator:
            await measure(simulator, options.accounts, options.requests)


if __name__ == "__main__":
    asyncio.run(main())
