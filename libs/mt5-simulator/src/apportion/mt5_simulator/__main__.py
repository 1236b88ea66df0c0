"""`apportion-mt5-simulator`: the server, and a trader's terminal for it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from apportion.mt5_simulator.certificate import server_context
from apportion.mt5_simulator.domain.clock import start_utc_ms
from apportion.mt5_simulator.domain.settings import ManagerSettings, ServerSettings, load_settings
from apportion.mt5_simulator.player import Strategy, StrategyPlayer, play_all, summary_document
from apportion.mt5_simulator.prices.choice import choose_feed
from apportion.mt5_simulator.process import AdminClient, AdminRefused
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.serving import serve as serve_forever

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A simulated MetaTrader 5 trading server.")

AdminUrl = Annotated[str, typer.Option(help="The simulator's admin port, as it prints it.")]
Login = Annotated[int, typer.Option(help="Trading account.")]


def _settings(config: Path | None, zone: str | None, login: int | None, password: str | None) -> ServerSettings:
    settings = ServerSettings() if config is None else load_settings(config.read_bytes())
    if zone is not None:
        settings.zone = zone
    if login is not None or password is not None:
        default = settings.managers[0]
        manager = ManagerSettings(login=login or default.login, password=password or default.password)
        settings.managers = [manager]
    return settings


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="JSON with groups, symbols, managers, zone.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the state here; without it, in memory only.")] = None,
    host: Annotated[str, typer.Option(help="Address of the Web API.")] = "127.0.0.1",
    https_port: Annotated[int, typer.Option(help="0: any free port.")] = 0,
    admin_port: Annotated[int, typer.Option(help="0: any free port; always on the loopback.")] = 0,
    certificate: Annotated[Path, typer.Option(help="PEM, made when missing; clients pin it.")] = Path("simulator.pem"),
    ready_file: Annotated[Path | None, typer.Option(help="Written when ready.")] = None,
    prices: Annotated[str, typer.Option(help="ecb, walk or csv:<folder of MT5 exports>.")] = "ecb",
    seed: Annotated[int, typer.Option(help="Of the prices.")] = 1,
    start: Annotated[str | None, typer.Option(help="Server date and time to begin at; default now.")] = None,
    speed: Annotated[float | None, typer.Option(help="Server seconds per real second; default as saved, or 1.")] = None,
    paused: Annotated[bool | None, typer.Option("--paused/--running", help="Default as saved, or running.")] = None,
    zone: Annotated[str | None, typer.Option(help="IANA zone of the server, e.g. Europe/Helsinki.")] = None,
    manager_login: Annotated[int | None, typer.Option(help="Default 1000.")] = None,
    manager_password: Annotated[str | None, typer.Option(envvar="MT5_SIMULATOR_MANAGER_PASSWORD")] = None,
    execution_delay_ms: Annotated[float, typer.Option(help="From a dealer request to its execution.")] = 2.0,
) -> None:
    """Run the trading server."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = _settings(config, zone, manager_login, manager_password)
    now = datetime.now(UTC)
    begin_ms = round(now.timestamp() * 1000) if start is None else start_utc_ms(start, settings.zone)
    feed = choose_feed(prices, seed, settings.symbols)

    async def run() -> None:
        server = Server(
            settings,
            feed,
            start_utc_ms=begin_ms,
            speed=speed,
            paused=paused,
            data_folder=data_dir,
            execution_delay_seconds=execution_delay_ms / 1000,
        )
        await serve_forever(
            server,
            host=host,
            https_port=https_port,
            admin_port=admin_port,
            tls=server_context(certificate, host, now),
            ca_file=certificate.resolve(),
            ready_file=ready_file,
        )

    uvloop.run(run())


def _at_terminal(admin_url: str, act: Callable[[AdminClient], Awaitable[Any]]) -> None:
    """Do one thing at the trader's terminal and print what came of it."""

    async def run() -> Any:
        terminal = AdminClient(admin_url)
        try:
            return await act(terminal)
        finally:
            await terminal.close()

    try:
        typer.echo(json.dumps(asyncio.run(run())))
    except AdminRefused as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None


@app.command()
def buy(admin_url: AdminUrl, login: Login, symbol: str, volume: str, sl: str = "0", tp: str = "0") -> None:
    """Buy VOLUME lots of SYMBOL at market."""
    _at_terminal(admin_url, lambda terminal: terminal.buy(login, symbol, volume, sl=sl, tp=tp))


@app.command()
def sell(admin_url: AdminUrl, login: Login, symbol: str, volume: str, sl: str = "0", tp: str = "0") -> None:
    """Sell VOLUME lots of SYMBOL at market."""
    _at_terminal(admin_url, lambda terminal: terminal.sell(login, symbol, volume, sl=sl, tp=tp))


@app.command()
def close(
    admin_url: AdminUrl, login: Login, position: int, volume: Annotated[str | None, typer.Option()] = None
) -> None:
    """Close POSITION, or --volume lots of it."""
    _at_terminal(admin_url, lambda terminal: terminal.close_position(login, position, volume))


@app.command()
def modify(admin_url: AdminUrl, login: Login, position: int, sl: str = "0", tp: str = "0") -> None:
    """Set stop loss and take profit of POSITION; 0 clears."""
    _at_terminal(admin_url, lambda terminal: terminal.modify(login, position, sl=sl, tp=tp))


@app.command()
def play(
    admin_url: AdminUrl,
    logins: Annotated[str, typer.Option(help="Trading accounts, separated by commas.")],
    trades: Annotated[int | None, typer.Option(help="Trades per account.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Real seconds to play.")] = None,
    seed: int = 1,
    symbols: str = "EURUSD,GBPUSD,USDJPY",
    holding_seconds: Annotated[float, typer.Option(help="Mean time between two trades, real or moved.")] = 600.0,
    move_clock: Annotated[bool, typer.Option(help="Pass the time by moving the server's clock; in turn.")] = False,
    flat: Annotated[bool, typer.Option(help="Close everything at the end.")] = True,
) -> None:
    """Let a seeded strategy trade the accounts; prints a summary."""
    if (trades is None) == (seconds is None):
        raise typer.BadParameter("give --trades or --seconds")
    strategy = Strategy(symbols=symbols.split(","), holding_seconds=holding_seconds)
    deadline = time.monotonic() + (seconds or 0.0)

    async def act(terminal: AdminClient) -> dict[str, object]:
        players = [StrategyPlayer(terminal, int(login), strategy, seed) for login in logins.split(",")]
        await play_all(
            players,
            terminal.advance if move_clock else asyncio.sleep,
            trades=trades,
            until=lambda: seconds is not None and time.monotonic() >= deadline,
            in_turn=move_clock,
        )
        if flat:
            for player in players:
                await player.close_all()
        return summary_document(players)

    _at_terminal(admin_url, act)


if __name__ == "__main__":
    app()
