"""A file that exists while the service is ready: how supervisors and tests learn the port that was bound."""

from __future__ import annotations

import json
import os
from pathlib import Path


class ReadyFile:
    """Written in one step, so that a reader never sees half of it. No path: does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, address: str | None, metrics_address: str | None) -> None:
        """Announce readiness as JSON: address, metrics_address (each host:port or null) and pid."""
        if self._path is None:
            return
        content = {"address": address, "metrics_address": metrics_address, "pid": os.getpid()}
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(self._path)

    def remove(self) -> None:
        """Withdraw readiness; nothing to do when it was never announced."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
