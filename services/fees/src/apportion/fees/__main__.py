"""`python -m apportion.fees serve | work | run | migrate | check-settings`."""

from __future__ import annotations

from apportion.fees.app import build, migrate
from apportion.fees.settings import FeesSettings
from apportion.runtime.service import service_main

if __name__ == "__main__":
    service_main("fees", FeesSettings, build, migrate)
