"""The process around a service: subcommands, readiness, signals, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apportion.testing.polling import PATIENCE_SECONDS, eventually

SCRIPT = Path(__file__).with_name("sample_service.py")


class Launcher:
    def __init__(self, folder: Path) -> None:
        self.ready_file = folder / "ready.json"
        self._processes: list[Process] = []

    async def start(self, command: str, **settings: str) -> Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMPLE_")}
        settings = {"insecure": "true", "database_url": "postgresql://app:hunter2@db:5432/sample"} | settings
        environment |= {f"SAMPLE_{name.upper()}": value for name, value in settings.items() if value}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), command, env=environment, stdout=PIPE, stderr=PIPE
        )
        self._processes.append(process)
        return process

    async def start_ready(self, command: str, **settings: str) -> tuple[Process, dict[str, Any]]:
        process = await self.start(command, ready_file=str(self.ready_file), **settings)
        await eventually(lambda: self.ready_file.exists() or process.returncode is not None)
        return process, json.loads(self.ready_file.read_text(encoding="utf-8"))

    async def kill_all(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    launcher = Launcher(tmp_path)
    yield launcher
    await launcher.kill_all()


async def finished(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(("command", "roles"), [("serve", "serve"), ("work", "work"), ("run", "serve work")])
async def test_a_service_is_ready_and_stops_cleanly_on_sigterm(launcher: Launcher, command: str, roles: str) -> None:
    process, ready = await launcher.start_ready(command)
    assert ready == {"address": "127.0.0.1:1234", "metrics_address": None, "pid": process.pid}
    process.send_signal(signal.SIGTERM)
    code, out, error = await finished(process)
    assert code == 0
    assert out.splitlines() == [f"started {roles}", "stopping", "closed"]
    assert not launcher.ready_file.exists()
    events = [json.loads(line)["event"] for line in error.splitlines()]
    assert events == ["service_ready", "service_draining", "service_stopped"]


async def test_a_second_signal_ends_the_process_at_once(launcher: Launcher) -> None:
    process, _ = await launcher.start_ready("serve", behaviour="hang")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"stopping" not in await process.stdout.readline():
            pass
    process.send_signal(signal.SIGTERM)
    code, _, _ = await finished(process)
    assert code == 128 + signal.SIGTERM


async def test_a_start_that_takes_too_long_can_be_stopped(launcher: Launcher) -> None:
    process = await launcher.start("serve", behaviour="never")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    code, out, _ = await finished(process)
    assert code == 0
    assert out.splitlines() == ["stopping", "closed"]


async def test_a_start_that_is_refused_says_why_in_one_line(launcher: Launcher) -> None:
    code, _, error = await finished(await launcher.start("serve", behaviour="refuse"))
    assert code == 1
    (line,) = error.splitlines()
    facts = json.loads(line)
    assert (facts["event"], facts["reason"], facts["host"]) == ("service_failed", "DB_UNAVAILABLE", "db.example")
    assert facts["cure"]
    assert not launcher.ready_file.exists()


async def test_a_bug_at_the_start_leaves_its_stack_in_the_log(launcher: Launcher) -> None:
    code, _, error = await finished(await launcher.start("serve", behaviour="crash"))
    assert code == 1
    assert "RuntimeError: a bug" in json.loads(error.splitlines()[0])["exception"]


async def test_bad_settings_are_named_without_their_values(launcher: Launcher) -> None:
    settings = {"database_url": "", "listen_address": "nowhere-secret", "log_level": "loud-secret"}
    code, out, error = await finished(await launcher.start("serve", **settings))
    assert code == 2
    lines = {line.partition(":")[0] for line in error.splitlines()}
    assert lines == {"SAMPLE_DATABASE_URL", "SAMPLE_LISTEN_ADDRESS", "SAMPLE_LOG_LEVEL"}
    assert "secret" not in error + out


async def test_a_service_without_tls_must_say_so(launcher: Launcher) -> None:
    code, _, error = await finished(await launcher.start("check-settings", insecure=""))
    assert code == 2
    assert "tls_certificate_file" in error


async def test_check_settings_prints_them_with_passwords_masked(launcher: Launcher) -> None:
    code, out, _ = await finished(await launcher.start("check-settings"))
    assert code == 0
    assert "database_url = postgresql://app:***@db:5432/sample" in out
    assert "behaviour = good" in out
    assert "hunter2" not in out


async def test_migrate_runs_the_services_own_function(launcher: Launcher) -> None:
    code, out, _ = await finished(await launcher.start("migrate"))
    assert (code, out) == (0, "migrated sample\n")


async def test_probes_and_metrics_are_served(launcher: Launcher) -> None:
    process, ready = await launcher.start_ready("work", metrics_address="127.0.0.1:0")
    root = f"http://{ready['metrics_address']}"
    code, text = await asyncio.to_thread(get, f"{root}/metrics")
    assert code == 200
    assert "process_cpu_seconds_total" in text
    assert await asyncio.to_thread(get, f"{root}/live") == (200, "ok\n")
    assert (await asyncio.to_thread(get, f"{root}/nope"))[0] == 404
    assert await asyncio.to_thread(get, f"{root}/ready") == (200, "ok\n")
    process.send_signal(signal.SIGTERM)
    assert (await finished(process))[0] == 0
