"""`python -m apportion.platform_groups serve | work | run | migrate | check-settings`."""

from __future__ import annotations

from apportion.platform_groups.app import build, migrate
from apportion.platform_groups.settings import PlatformGroupsSettings
from apportion.runtime.service import service_main

if __name__ == "__main__":
    service_main("platform-groups", PlatformGroupsSettings, build, migrate)
