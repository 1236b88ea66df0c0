"""Settings of the risk service, read from RISK_… once."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from apportion.money import E8
from apportion.risk.domain.watch import Doubts
from apportion.runtime import ServiceSettings

MS = 1_000


class RiskSettings(ServiceSettings):
    """What the common settings lack."""

    model_config = SettingsConfigDict(env_prefix="RISK_")

    allocation_address: str = Field(description="host:port or gRPC name of allocation")
    platform_groups_address: str = Field(description="host:port or gRPC name of platform-groups")
    call_seconds: float = Field(default=5.0, gt=0, le=30, description="deadline of a call to another service")
    ask_seconds: float = Field(default=2.0, gt=0, le=30, description="deadline of asking for account states")
    fallback_seconds: float = Field(
        default=1.0, gt=0, le=5, description="after this much silence about a server, its account states are asked for"
    )
    stale_seconds: float = Field(default=5.0, gt=0, description="a snapshot older than this trips nothing by itself")
    prices_stale_seconds: float = Field(
        default=60.0, gt=0, description="with no price newer than this on the server, a breach is suspect"
    )
    jump_percent: int = Field(default=10, gt=0, le=100, description="an equity change of more of the base is suspect")
    confirm_seconds: float = Field(
        default=5.0, gt=0, description="a suspect breach trips after this, unless confirmed before"
    )
    unexplained_seconds: float = Field(
        default=40.0, gt=0, description="wait for the deal behind a changed balance; consumers find a lost one in 30 s"
    )
    settle_seconds: float = Field(
        default=2.0, gt=0, description="deals and snapshots this near may come in either order"
    )
    reload_seconds: float = Field(default=0.5, gt=0, description="pause between looks for new or changed limits")

    @property
    def doubts(self) -> Doubts:
        """When a figure is not believed at once."""
        return Doubts(
            unexplained_ms=int(self.unexplained_seconds * MS),
            confirm_ms=int(self.confirm_seconds * MS),
            jump_percent_e8=self.jump_percent * E8,
        )

    @property
    def prices_stale_ms(self) -> int:
        """`prices_stale_seconds`, as the watch counts."""
        return int(self.prices_stale_seconds * MS)

    @property
    def settle_ms(self) -> int:
        """`settle_seconds`, as the watch counts."""
        return int(self.settle_seconds * MS)
