"""`python -m apportion.auth_gateway`: serve, run, migrate, check-settings, broker."""

from __future__ import annotations

from apportion.auth_gateway.app import open_app
from apportion.auth_gateway.broker_cli import broker_app
from apportion.auth_gateway.settings import GatewaySettings
from apportion.runtime.service import service_app
from apportion.storage import migrate


async def migrate_database(settings: GatewaySettings) -> None:
    """Bring the gateway's database to this version."""
    await migrate(settings.database_url, "apportion.auth_gateway.storage")


def main() -> None:
    """The command line."""
    app = service_app("auth-gateway", GatewaySettings, open_app, migrate_database)
    app.add_typer(broker_app, name="broker")
    app()


if __name__ == "__main__":
    main()
