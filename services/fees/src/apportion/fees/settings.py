"""Settings of the fees service, read from FEES_… once."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from apportion.payments import PaymentSettings


class FeesSettings(PaymentSettings):
    """What the common settings lack."""

    model_config = SettingsConfigDict(env_prefix="FEES_")

    allocation_address: str = Field(description="host:port or gRPC name of allocation")
    platform_groups_address: str = Field(description="host:port or gRPC name of platform-groups")
    call_seconds: float = Field(default=5.0, gt=0, le=30, description="deadline of a call to another service")
