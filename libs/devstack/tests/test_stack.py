"""A stack before it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from apportion.devstack.stack import SERVICES, Stack


def test_its_folder_is_the_same_for_processes_that_start_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Stack(Path("kept")).folder == tmp_path / "kept"


def test_each_service_has_an_address_of_its_own(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    assert len({stack.address(name) for name in SERVICES}) == len(SERVICES)
