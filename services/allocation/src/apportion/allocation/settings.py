"""Settings of the allocation service, read from ALLOCATION_… once."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from apportion.allocation.domain.positions import OrphanPolicy
from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.desk import Limits
from apportion.allocation.operations.reconcile_positions import Reconciling
from apportion.payments import PaymentSettings


class AllocationSettings(PaymentSettings):
    """What the common settings lack."""

    model_config = SettingsConfigDict(env_prefix="ALLOCATION_")

    platform_groups_address: str = Field(description="host:port or gRPC name of platform-groups")
    call_seconds: float = Field(default=5.0, gt=0, le=30, description="deadline of a call to platform-groups")
    symbol_seconds: float = Field(default=60.0, gt=0, description="pause between looks whether a symbol has changed")
    stale_seconds: float = Field(default=10.0, gt=0, description="an account state older than this is unknown")
    ask_seconds: float = Field(
        default=2.0, gt=0, le=30, description="deadline of a question for account states, where none are heard"
    )
    states_seconds: float = Field(
        default=5.0, ge=0, description="an opening decision waits this long for account states and prices"
    )
    open_seconds: float = Field(default=5.0, gt=0, description="time after a decision to send its opening orders")
    deal_seconds: float = Field(
        default=10.0, gt=0, description="a master's opening deal observed longer ago is not followed (TOO_LATE)"
    )
    catch_up_seconds: float = Field(
        default=0.0,
        ge=0,
        description="an order that has left no trace on the server, or was not sent in time, is made anew this long"
        " after the decision; 0: never",
    )
    retry_seconds: float = Field(
        default=5.0,
        ge=0,
        description="an order that was refused for a passing reason (requote, off quotes, timeout, busy context, no"
        " price) is made anew this long after the decision; 0: never",
    )
    retry_pause_seconds: float = Field(default=0.5, ge=0.5, description="pause before an order is made anew")
    retry_count: int = Field(default=3, ge=0, le=100, description="how often the order of one child is made anew")
    dispatch_seconds: float = Field(default=1.0, gt=0, description="pause between looks for decisions not yet sent")
    project_seconds: float = Field(default=0.25, gt=0, description="pause between looks for decisions without rows")
    follow_up_seconds: float = Field(
        default=60.0, gt=0, description="pause between comparisons of what is open with what should be"
    )
    equity_sample_seconds: float = Field(
        default=60.0, gt=0, description="pause between looks at equities for statistics"
    )
    history_retention_days: int = Field(
        default=0, ge=0, description="deals and equities of masters and followers are kept this long; 0: for ever"
    )
    leaderboard_seconds: float = Field(default=300.0, gt=0, description="pause between computations of the leaderboard")
    reconcile_seconds: float = Field(
        default=60.0, gt=0, description="pause between comparisons of the books with the trading servers"
    )
    reconcile_retry_seconds: float = Field(
        default=5.0, gt=0, description="pause after a trading server could not be asked for its positions"
    )
    confirm_seconds: float = Field(
        default=5.0, gt=0, description="what a server shows otherwise than the books counts when it does so this long"
    )
    answer_seconds: float = Field(
        default=30.0, gt=0, description="an opening order handed over this long ago without a result is asked for"
    )
    orphans: OrphanPolicy = Field(
        default=OrphanPolicy.CLOSE,
        description="positions that our orders opened and that should not be open: close, or only show",
    )
    floating_seconds: float = Field(
        default=2.0, gt=0, le=5, description="pause between looks at the floating profit of artificial records"
    )

    @property
    def limits(self) -> Limits:
        """The times decisions depend on."""
        retries = Retries(
            rejected_seconds=self.retry_seconds,
            missed_seconds=self.catch_up_seconds,
            pause_seconds=self.retry_pause_seconds,
            most=self.retry_count,
            open_seconds=self.open_seconds,
        )
        return Limits(self.stale_seconds, self.states_seconds, self.open_seconds, self.deal_seconds, retries)

    @property
    def reconciling(self) -> Reconciling:
        """The rules of comparing positions."""
        return Reconciling(self.confirm_seconds, self.orphans, self.answer_seconds)
