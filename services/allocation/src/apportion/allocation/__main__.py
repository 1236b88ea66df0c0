"""`python -m apportion.allocation serve | work | run | migrate | check-settings`."""

from __future__ import annotations

from apportion.allocation.app import build, migrate
from apportion.allocation.settings import AllocationSettings
from apportion.runtime.service import service_main

if __name__ == "__main__":
    service_main("allocation", AllocationSettings, build, migrate)
