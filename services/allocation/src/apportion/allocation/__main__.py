"""`python -m apportion.allocation serve | work | run | migrate | check-settings | export`."""

from __future__ import annotations

from apportion.allocation.app import build, migrate
from apportion.allocation.export_cli import export_app
from apportion.allocation.settings import AllocationSettings
from apportion.runtime.service import service_app


def main() -> None:
    """The command line."""
    app = service_app("allocation", AllocationSettings, build, migrate)
    app.add_typer(export_app, name="export")
    app()


if __name__ == "__main__":
    main()
