"""Measures every headline as a ratio to its bare floor: `python -m tests.bench [--only kernel,rpc]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
import uvloop
from rich.console import Console
from rich.table import Table
from tests.bench import allocation, calls, codec, gateway, kernel, methods, orders, payouts, sizes, streams, suite
from tests.bench.measure import Row
from tests.bench.servers import Servers

from apportion.runtime.allocator import keep_big_blocks

GROUPS: Mapping[str, Callable[[Servers], Awaitable[list[Row]]]] = {
    "kernel": kernel.rows,
    "methods": methods.rows,
    "codec": codec.rows,
    "rpc": calls.rows,
    "gateway": gateway.rows,
    "allocation": allocation.rows,
    "sizes": sizes.rows,
    "payouts": payouts.rows,
    "events": streams.rows,
    "orders": orders.rows,
    "suite": suite.rows,
}
LOG_COLUMNS = 180
"""How wide the table is where nobody looks at a terminal."""
STYLES = {"very good": "green", "between": "yellow", "FAIL": "bold red"}


async def measure(names: Sequence[str], console: Console) -> list[Row]:
    found: list[Row] = []
    async with Servers() as servers:
        for name in names:
            started = time.perf_counter()
            found += await GROUPS[name](servers)
            console.print(f"[dim]{name}: {time.perf_counter() - started:.0f} s[/dim]")
    return found


def table_of(rows: Sequence[Row]) -> Table:
    table = Table(title="Ours against the bare floor, in turn, medians of rounds")
    for heading in ("headline", "ours", "floor"):
        table.add_column(heading)
    for heading in ("ratio", "very good", "gate"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        better, worse = ("≥", "<") if row.good > row.fail else ("≤", ">")
        style = STYLES[row.verdict]
        table.add_row(
            row.headline,
            row.ours,
            row.floor,
            f"{row.ratio:.2f}",
            f"{better} {row.good:g}",
            f"{worse} {row.fail:g}",
            f"[{style}]{row.verdict}[/{style}]",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help=f"comma-separated: {', '.join(GROUPS)}")
    names = parser.parse_args().only.split(",")
    if unknown := set(names) - set(GROUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_COLUMNS)
    keep_big_blocks()  # as the services do
    console.print(table_of(uvloop.run(measure(names, console))))


if __name__ == "__main__":
    main()
