"""Settings of the fees service, read from FEES_… once."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from apportion.fees.domain.charge import Backoff
from apportion.runtime import ServiceSettings


class FeesSettings(ServiceSettings):
    """What the common settings lack."""

    model_config = SettingsConfigDict(env_prefix="FEES_")

    allocation_address: str = Field(description="host:port or gRPC name of allocation")
    platform_groups_address: str = Field(description="host:port or gRPC name of platform-groups")
    call_seconds: float = Field(default=5.0, gt=0, le=30, description="deadline of a call to another service")
    dispatch_seconds: float = Field(default=0.5, gt=0, description="longest pause between looks for ready transfers")
    resend_seconds: float = Field(default=1.0, gt=0, description="wait after a call that was not accepted, doubling")
    resend_longest_seconds: float = Field(default=60.0, gt=0, description="longest such wait")
    outstanding_seconds: float = Field(
        default=60.0, gt=0, description="wait before a refused charge is tried again, doubling"
    )
    outstanding_longest_seconds: float = Field(default=21_600.0, gt=0, description="longest such wait")

    @property
    def resend(self) -> Backoff:
        """Waits of items that platform-groups did not accept."""
        return Backoff(self.resend_seconds, self.resend_longest_seconds)

    @property
    def outstanding(self) -> Backoff:
        """Waits of charges that the trading server refused."""
        return Backoff(self.outstanding_seconds, self.outstanding_longest_seconds)
