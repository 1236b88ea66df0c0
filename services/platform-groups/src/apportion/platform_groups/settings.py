"""Settings of platform-groups, read from PLATFORM_GROUPS_… variables."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from apportion.platform_groups.adapters.vault import parse_keys
from apportion.runtime import ServiceSettings


class PlatformGroupsSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="PLATFORM_GROUPS_")

    kek_base64: SecretStr = Field(
        default=SecretStr(""), repr=False, description="key-encryption keys, 1:<base64>,2:<base64>; the highest seals"
    )
    kek_file: Path | None = Field(default=None, description="file with the same, one key a line; wins over kek_base64")
    allow_loopback_servers: bool = Field(default=False, description="trading servers on this machine: simulators")
    server_connections: int = Field(default=4, ge=1, le=32, description="logged-in connections shared by one server")
    order_lanes: int = Field(default=4, ge=1, le=8, description="connections that send orders to one server")
    server_timeout_seconds: float = Field(default=10.0, gt=0, description="longest wait for a server's answer")
    answer_timeout_seconds: float = Field(
        default=15.0, gt=0, description="after this a lost command that left no trace was not executed"
    )
    deal_interval_seconds: float = Field(default=0.1, gt=0, description="pause between reads of deals")
    state_interval_seconds: float = Field(default=0.25, gt=0, description="pause between reads of account states")
    tick_interval_seconds: float = Field(default=0.2, gt=0, description="pause between reads of prices")
    stop_interval_seconds: float = Field(
        default=1.0, gt=0, description="pause between reads of stop loss and take profit of masters' positions"
    )
    account_interval_seconds: float = Field(
        default=20.0, gt=0, description="pause between looks for accounts that were deleted or moved to another group"
    )
    price_age_seconds: float = Field(
        default=60.0,
        gt=0,
        description="opens with a slippage limit take no older price, by the server's own time",
    )
    lease_seconds: float = Field(default=6.0, ge=1, description="how long a silent worker keeps its shards")

    @model_validator(mode="after")
    def _keys_are_usable(self) -> Self:
        try:
            parse_keys(self.kek_text())
        except OSError as error:
            raise ValueError(f"kek_file cannot be read: {error.strerror}") from None
        return self

    @model_validator(mode="after")
    def _nothing_is_judged_while_on_the_wire(self) -> Self:
        if self.answer_timeout_seconds < self.server_timeout_seconds:
            raise ValueError("answer_timeout_seconds must not be below server_timeout_seconds")
        return self

    def kek_text(self) -> str:
        """The keys as configured. Raises OSError when the file cannot be read."""
        if self.kek_file is not None:
            return self.kek_file.read_text()
        return self.kek_base64.get_secret_value()
