"""Run a simulated server as a real process and steer it; for the test suites of others.

    async with SimulatorProcess(tmp_path, start="2026-03-03T10:00:00", paused=True) as simulator:
        simulator.https_url, simulator.ca_file            # where a Web API client connects, and what it pins
        simulator.manager_login, simulator.manager_password
        [master, follower] = await simulator.create_accounts("demo\\\\forex-hedge-usd", 2, deposit="10000.00")
        await simulator.set_price("EURUSD", "1.10000", "1.10010")    # pins the symbol; its feed stops moving it
        deal = await simulator.buy(master, "EURUSD", "1.00")         # a trader at a terminal: Reason 0
        await simulator.close(master, deal["PositionID"], "0.40")    # partial; without volume: all of it
        await simulator.add_fault("lose_answer", endpoint="dealer/send_request", count=1)
        await simulator.advance(3600)                                # server time, with triggers, swaps and stop outs
        await simulator.kill()                                       # SIGKILL
        await simulator.start()                                      # same ports, same certificate, same state

Every dictionary is the Web API's own object (CamelCase names, every scalar a string). Refusals raise `AdminRefused`
with `.retcode`. `folder` holds the certificate, the ready file, the log and, unless `durable=False`, the state.

Fault kinds (`add_fault`): latency (`seconds`), late_result (`seconds`), reject (`retcode`: 10006 rejected, 10015 bad
price, 10021 off quotes, 10012 timed out, 12 too frequent, 10024 queue full, …), deny (`retcode`, but executed),
requote, timeout, lose_answer, lose_result, disconnect, forbidden; `faults.FaultKind` says what each does. Each takes
`endpoint` ("*" or e.g. "trade/balance"), `login`, `count` (how often; None for ever), `skip` (let the first n pass),
`probability` with `seed`. `faults()` lists them with `id`, `fired` and `left`; `fired(id)` is one's own. `clear_faults`
also lets go on what a latency holds up; a restart forgets faults.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

Json = dict[str, Any]


class AdminRefused(Exception):
    """The simulator's admin port refused; `retcode` is the trading server's code where there is one."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {answer.get('error', answer)}")
        self.status = status
        self.retcode = int(answer.get("retcode", 0))


class AdminClient:
    """The admin port's requests as methods. One HTTP session; close it with `close`."""

    def __init__(self, admin_url: str, *, timeout_seconds: float = 60.0) -> None:
        self.admin_url = admin_url.rstrip("/")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds))

    async def close(self) -> None:
        await self._session.close()

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self._session.request(method, self.admin_url + path, json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise AdminRefused(response.status, answer)
            return answer

    async def status(self) -> Json:
        """Server time, clock speed, counts of accounts, positions, deals, connections."""
        return dict(await self.request("GET", "/status"))

    # The clock and the prices.

    async def advance(self, seconds: float) -> Json:
        """Move server time forward; prices, triggers, swaps and stop outs happen on the way."""
        return dict(await self.request("POST", "/clock", {"advance_seconds": seconds}))

    async def set_speed(self, speed: float) -> Json:
        return dict(await self.request("POST", "/clock", {"speed": speed}))

    async def pause(self) -> Json:
        return dict(await self.request("POST", "/clock", {"paused": True}))

    async def resume(self) -> Json:
        return dict(await self.request("POST", "/clock", {"paused": False}))

    async def set_price(self, symbol: str, bid: str, ask: str) -> None:
        """Quote a symbol by hand and pin it: its feed leaves it alone until `freeze(False)`."""
        await self.request("POST", "/price", {"symbol": symbol, "bid": bid, "ask": ask})

    async def freeze(self, frozen: bool = True) -> None:
        """Stop the feed of all symbols, or let it go on (which also unpins prices set by hand)."""
        await self.request("POST", "/feed", {"frozen": frozen})

    # Faults.

    async def add_fault(self, kind: str, *, endpoint: str = "*", **options: Any) -> int:
        answer = await self.request("POST", "/faults", {"kind": kind, "endpoint": endpoint, **options})
        return int(answer["id"])

    async def faults(self) -> list[Json]:
        """All faults since the last `clear_faults`, each with `id`, `fired` and `left` (None: for ever)."""
        return list(await self.request("GET", "/faults"))

    async def fired(self, fault_id: int) -> int:
        """How often one fault has befallen a request. KeyError for an id that is not there."""
        return int({fault["id"]: fault["fired"] for fault in await self.faults()}[fault_id])

    async def clear_faults(self) -> None:
        await self.request("DELETE", "/faults")

    async def disconnect_all(self) -> None:
        """Cut every Web API connection."""
        await self.request("POST", "/disconnect")

    async def restart_sessions(self) -> None:
        """What a restart of the trading server does to its clients: no sessions, no account states."""
        await self.request("POST", "/restart")

    # Accounts and traders at their terminals.

    async def create_accounts(self, group: str, count: int, *, deposit: str = "0", leverage: int = 100) -> list[int]:
        body = {"group": group, "count": count, "deposit": deposit, "leverage": leverage}
        return [int(login) for login in (await self.request("POST", "/accounts", body))["logins"]]

    async def move_account(self, login: int, group: str) -> None:
        """To another group of its currency, with all it has open."""
        await self.request("POST", "/accounts/move", {"login": login, "group": group})

    async def delete_account(self, login: int) -> None:
        """Refused (3008) while anything is open."""
        await self.request("POST", "/accounts/delete", {"login": login})

    async def buy(self, login: int, symbol: str, volume: str, **options: str) -> Json:
        """Buy at market; options: sl, tp (prices), comment. Returns the Deal."""
        return await self._order(login, symbol, "buy", volume, options)

    async def sell(self, login: int, symbol: str, volume: str, **options: str) -> Json:
        return await self._order(login, symbol, "sell", volume, options)

    async def _order(self, login: int, symbol: str, side: str, volume: str, options: Mapping[str, str]) -> Json:
        body = {"login": login, "symbol": symbol, "side": side, "volume": volume, **options}
        return dict(await self.request("POST", "/trader/order", body))

    async def close_position(self, login: int, position: int | str, volume: str | None = None) -> Json:
        """Close a position, or part of it. Returns the Deal."""
        body = {"login": login, "position": int(position), "volume": volume}
        return dict(await self.request("POST", "/trader/close", body))

    async def modify(self, login: int, position: int | str, *, sl: str = "0", tp: str = "0") -> Json:
        """Set or clear ("0") stop loss and take profit. Returns the Position."""
        body = {"login": login, "position": int(position), "sl": sl, "tp": tp}
        return dict(await self.request("POST", "/trader/modify", body))

    async def account(self, login: int) -> Json:
        return dict(await self.request("GET", f"/trader/account?login={login}"))

    async def positions(self, login: int) -> list[Json]:
        return list(await self.request("GET", f"/trader/positions?login={login}"))

    async def deals(self, login: int) -> list[Json]:
        return list(await self.request("GET", f"/trader/deals?login={login}"))


class SimulatorProcess:
    """One simulator process. All of `AdminClient`'s methods are on `.admin`; the usual ones are here too."""

    def __init__(
        self,
        folder: Path,
        *,
        start: str = "2026-03-03T10:00:00",
        speed: float = 1.0,
        paused: bool = False,
        prices: str = "ecb",
        seed: int = 1,
        durable: bool = True,
        options: Sequence[str] = (),
        ready_seconds: float = 120.0,
    ) -> None:
        """`start` is server-local time; `prices` is ecb, walk or csv:<folder>; `options` are more flags of `serve`."""
        self.folder = folder
        self.manager_login = 1000
        self.manager_password = "Manager1!"  # noqa: S105 - the documented default of a simulator
        self.https_url = ""
        self.admin_url = ""
        self.ca_file = folder / "simulator.pem"
        self._arguments = ["--start", start, "--prices", prices, "--seed", str(seed)]
        self._arguments += ["--certificate", str(self.ca_file), "--ready-file", str(folder / "ready.json")]
        self._first_arguments = ["--speed", str(speed), "--paused" if paused else "--running"]
        self._arguments += ["--data-dir", str(folder / "state")] if durable else []
        self._arguments += options
        self._durable = durable
        self._ready_seconds = ready_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._admin: AdminClient | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the simulator is not running")
        return self._process.pid

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            raise RuntimeError("the simulator is not running")
        return self._admin

    async def start(self) -> None:
        """Start and wait until it serves. After a `kill` or `stop`: the same ports again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ready_file = self.folder / "ready.json"
        ready_file.unlink(missing_ok=True)
        arguments = [sys.executable, "-m", "apportion.mt5_simulator", "serve", *self._arguments]
        if not self.https_url or not self._durable:
            arguments += self._first_arguments  # later the clock goes on as it was
        if self.https_url:
            arguments += ["--https-port", self.https_url.rsplit(":", 1)[1]]
            arguments += ["--admin-port", self.admin_url.rsplit(":", 1)[1]]
        with (self.folder / "simulator.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*arguments, stdout=log, stderr=log)
        await self._wait_ready(ready_file.exists)
        ready = json.loads(ready_file.read_text())
        self.https_url, self.admin_url, self.ca_file = ready["https_url"], ready["admin_url"], Path(ready["ca_file"])
        self._admin = self._admin or AdminClient(self.admin_url)

    async def _wait_ready(self, ready: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._ready_seconds
        while not ready():
            if self._process is None or self._process.returncode is not None or loop.time() > give_up:
                await self.kill()
                raise RuntimeError(f"the simulator did not become ready:\n{self.log_tail()}")
            await asyncio.sleep(0.02)

    def log_tail(self) -> str:
        """The end of what the process wrote."""
        return (self.folder / "simulator.log").read_text()[-4000:]

    async def stop(self) -> None:
        """SIGTERM and wait; no-op when not running."""
        if self._admin is not None:
            await self._admin.close()
            self._admin = None
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL and wait: what was acknowledged is there again after `start`; until then `.admin` cannot connect."""
        await self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, sign: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(sign)
            await self._process.wait()
        self._process = None

    # The usual requests, without `.admin`.

    async def set_price(self, symbol: str, bid: str, ask: str) -> None:
        await self.admin.set_price(symbol, bid, ask)

    async def advance(self, seconds: float) -> Json:
        return await self.admin.advance(seconds)

    async def add_fault(self, kind: str, *, endpoint: str = "*", **options: Any) -> int:
        return await self.admin.add_fault(kind, endpoint=endpoint, **options)

    async def create_accounts(self, group: str, count: int, *, deposit: str = "0", leverage: int = 100) -> list[int]:
        return await self.admin.create_accounts(group, count, deposit=deposit, leverage=leverage)

    async def buy(self, login: int, symbol: str, volume: str, **options: str) -> Json:
        return await self.admin.buy(login, symbol, volume, **options)

    async def sell(self, login: int, symbol: str, volume: str, **options: str) -> Json:
        return await self.admin.sell(login, symbol, volume, **options)

    async def close(self, login: int, position: int | str, volume: str | None = None) -> Json:
        return await self.admin.close_position(login, position, volume)
