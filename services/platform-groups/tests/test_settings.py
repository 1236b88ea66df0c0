"""Settings that would make a lost command be judged too early are refused."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from apportion.platform_groups.settings import PlatformGroupsSettings


def settings(**changes: float) -> PlatformGroupsSettings:
    return PlatformGroupsSettings(
        database_url="postgresql://nobody@127.0.0.1/nothing",
        insecure=True,
        kek_base64="1:" + base64.b64encode(bytes(32)).decode(),
        **changes,
    )


def test_nothing_is_judged_absent_while_its_call_may_be_on_the_wire() -> None:
    with pytest.raises(ValidationError, match="answer_timeout_seconds must not be below"):
        settings(server_timeout_seconds=3.0, answer_timeout_seconds=1.0)
    assert settings(server_timeout_seconds=3.0, answer_timeout_seconds=3.0).answer_timeout_seconds == 3.0
