"""`python -m apportion.risk serve | work | run | migrate | check-settings`."""

from __future__ import annotations

from apportion.risk.app import build, migrate
from apportion.risk.settings import RiskSettings
from apportion.runtime.service import service_main

if __name__ == "__main__":
    service_main("risk", RiskSettings, build, migrate)
