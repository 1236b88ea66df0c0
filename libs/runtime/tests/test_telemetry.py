from __future__ import annotations

import pytest

from apportion.runtime import telemetry


def test_tracing_is_off_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_tracing", False)
    telemetry.configure("fees", None)
    assert not telemetry.tracing_on()
    telemetry.shut_down()
