from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from apportion.runtime import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("fees", "info")
    structlog.get_logger().info("fee_charged", amount_minor=1250)
    (line,) = lines(capsys)
    assert (line["event"], line["amount_minor"], line["service"], line["level"]) == (
        "fee_charged",
        1250,
        "fees",
        "info",
    )
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_library_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("fees", "warning")
    logging.getLogger("asyncpg").info("not this")
    logging.getLogger("asyncpg").warning("pool %s", "full")
    (line,) = lines(capsys)
    assert (line["event"], line["service"]) == ("pool full", "fees")


@pytest.mark.parametrize("key", ["password", "manager_password", "api_key", "token", "database_url", "Authorization"])
def test_a_secret_is_not_written(capsys: pytest.CaptureFixture[str], key: str) -> None:
    logs.configure("fees")
    structlog.get_logger().info("connected", **{key: "hunter2"})
    output = capsys.readouterr().err
    assert "hunter2" not in output
    assert logs.REDACTED in output


def test_a_stack_is_inside_the_line_without_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("fees")
    manager_password = "hunter2"
    try:
        raise ValueError(f"length {len(manager_password)}")
    except ValueError:
        structlog.get_logger().exception("call_failed")
    (line,) = lines(capsys)
    assert "ValueError: length 7" in str(line["exception"])
    assert "hunter2" not in str(line)


def test_development_logs_show_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("fees", development=True)
    secret = "".join(["hun", "ter2"])
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger().exception("call_failed")
    output = capsys.readouterr().err
    assert "ValueError" in output
    assert "hunter2" not in output
