"""`broker …`: administration from the command line. Every answer is one line of JSON on stdout."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import typer
from pydantic import ValidationError

from apportion.auth_gateway.app import Stores, open_stores
from apportion.auth_gateway.domain.brokers import TOKEN_TTL_SECONDS, Broker, BrokerState, NewBroker
from apportion.auth_gateway.operations import administer_broker as administer
from apportion.auth_gateway.operations.administer_broker import BrokerOffice
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.auth_gateway.settings import AuthGatewaySettings
from apportion.auth_gateway.storage.sessions import Sessions
from apportion.errors import DomainError
from apportion.runtime import SystemClock
from apportion.runtime.settings import problems_of
from apportion.storage import DatabaseNotDurable, SchemaMismatch

EXIT_REFUSED = 1
EXIT_BAD_SETTINGS = 2
DAY_SECONDS = 86_400

broker_app = typer.Typer(help="Administer brokers: labels, areas, API passwords.", no_args_is_help=True)
Label = Annotated[int, typer.Option(help="the broker's number")]
Grace = Annotated[int, typer.Option(min=0, help="how long the password in use stays valid")]
Work = Callable[[BrokerOffice, Stores], Awaitable[dict[str, Any]]]


@broker_app.command()
def create(
    label: Label,
    name: Annotated[str, typer.Option(help="unique name")],
    area: Annotated[list[str], typer.Option(help="http(s)://… where users are sent; repeat for several")],
    language: Annotated[str, typer.Option(help="default language: ch cn de en es ja ko pt ru")] = "en",
    token_ttl_seconds: Annotated[int, typer.Option(help="life of a one-time token")] = TOKEN_TTL_SECONDS,
    allow_address: Annotated[list[str] | None, typer.Option(help="address or network that may call la.auth")] = None,
) -> None:
    """Create a broker; prints its API password, once."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        new = NewBroker(label, name, language, token_ttl_seconds, tuple(allow_address or ()))
        return {"label": label, "password": await administer.create_broker(office, new, area)}

    _finish(work)


@broker_app.command()
def add_area(label: Label, area: Annotated[str, typer.Option(help="http(s)://…")]) -> None:
    """Register one more area."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        return {"label": label, "area": await administer.add_area(office, label, area)}

    _finish(work)


@broker_app.command()
def remove_area(label: Label, area: Annotated[str, typer.Option(help="http(s)://…")]) -> None:
    """Withdraw an area."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        await administer.remove_area(office, label, area)
        return {"label": label}

    _finish(work)


@broker_app.command()
def allow_origin(label: Label, origin: Annotated[str, typer.Option(help="http(s)://host[:port]")]) -> None:
    """Let pages of an origin that is not an area call the gateway."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        return {"label": label, "origin": await administer.allow_origin(office, label, origin)}

    _finish(work)


@broker_app.command()
def rotate_password(label: Label, grace_seconds: Grace = DAY_SECONDS) -> None:
    """Make a new API password; prints it, once."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        return {"label": label, "password": await administer.rotate_password(office, label, grace_seconds)}

    _finish(work)


@broker_app.command()
def import_password(label: Label, grace_seconds: Grace = DAY_SECONDS) -> None:
    """Take over a password that rooms use already; it is read from stdin."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        secret = sys.stdin.buffer.readline().rstrip(b"\r\n")
        await administer.import_password(office, label, secret, grace_seconds)
        return {"label": label}

    _finish(work)


@broker_app.command()
def finish_rotation(label: Label) -> None:
    """End every API password but the newest now."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        await administer.finish_rotation(office, label)
        return {"label": label}

    _finish(work)


@broker_app.command()
def disable(label: Label) -> None:
    """Stop a broker's sign-ins and sessions."""
    _set_state(label, BrokerState.DISABLED)


@broker_app.command()
def enable(label: Label) -> None:
    """Let a disabled broker's users sign in again."""
    _set_state(label, BrokerState.ACTIVE)


@broker_app.command()
def revoke_sessions(
    label: Annotated[int | None, typer.Option(help="only of this broker")] = None,
    login: Annotated[int | None, typer.Option(help="only of this user of the broker")] = None,
) -> None:
    """End all sessions, of everybody, of one broker, or of one user."""
    if login is not None and label is None:
        raise typer.BadParameter("--login needs --label")

    async def work(office: BrokerOffice, stores: Stores) -> dict[str, Any]:
        now_ms = int(office.clock.now().timestamp() * 1000)
        await Sessions(stores.redis).revoke(now_ms, label, login)
        return {"label": label, "login": login}

    _finish(work)


@broker_app.command(name="list")
def list_all() -> None:
    """Print all brokers, without digests."""

    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        return {"brokers": [_told(broker) for broker in await administer.read_brokers(office)]}

    _finish(work)


def _set_state(label: int, state: BrokerState) -> None:
    async def work(office: BrokerOffice, _stores: Stores) -> dict[str, Any]:
        await administer.set_broker_state(office, label, state)
        return {"label": label, "state": state.value}

    _finish(work)


def _told(broker: Broker) -> dict[str, Any]:
    return {
        "label": broker.label,
        "name": broker.name,
        "state": broker.state.value,
        "language": broker.default_language,
        "token_ttl_seconds": broker.token_ttl_seconds,
        "areas": broker.areas,
        "extra_origins": broker.extra_origins,
        "allow_addresses": [str(network) for network in broker.address_allow_list],
        "passwords": [
            {"kind": p.hash_kind.value, "valid_from": p.valid_from_time, "valid_until": p.valid_until_time}
            for p in broker.passwords
        ],
    }


def _finish(work: Work) -> None:
    """Run with the gateway's settings; a refusal goes to stderr with its cure."""
    try:
        settings = AuthGatewaySettings.model_validate({})
        result = asyncio.run(_run(settings, work))
    except ValidationError as error:
        for line in problems_of(error, AuthGatewaySettings):
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_BAD_SETTINGS) from None
    except DomainError as error:
        typer.echo(f"{error} — {error.cure}", err=True)
        raise typer.Exit(EXIT_REFUSED) from None
    except (DatabaseNotDurable, SchemaMismatch) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_REFUSED) from None
    typer.echo(msgspec.json.encode(result).decode())


async def _run(settings: AuthGatewaySettings, work: Work) -> dict[str, Any]:
    clock = SystemClock()
    passwords = PasswordCheck(settings.pepper.get_secret_value().encode(), clock)
    try:
        async with open_stores(settings, clock) as stores:
            office = BrokerOffice(stores.engine, clock, os.urandom, passwords, f"cli/{getpass.getuser()}")
            return await work(office, stores)
    finally:
        passwords.close()
