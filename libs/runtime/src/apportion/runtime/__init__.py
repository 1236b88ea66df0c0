"""Settings, clock, logging, telemetry, signals and the service main()."""

from __future__ import annotations

from apportion.runtime.app import Loops, ServiceApp
from apportion.runtime.background import Background
from apportion.runtime.clock import Clock, FixedClock, SystemClock
from apportion.runtime.context import RequestKey, replayed
from apportion.runtime.settings import ServiceSettings

__all__ = [
    "Background",
    "Clock",
    "FixedClock",
    "Loops",
    "RequestKey",
    "ServiceApp",
    "ServiceSettings",
    "SystemClock",
    "replayed",
]
