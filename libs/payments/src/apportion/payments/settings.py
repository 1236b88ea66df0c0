"""How long payments wait."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from apportion.payments.payment import Backoff
from apportion.runtime import ServiceSettings


@dataclass(frozen=True, slots=True)
class Waits:
    """Of the loop that hands payments over."""

    pause_seconds: float
    """Longest pause between looks."""
    resend: Backoff
    """Before the same items are handed over again."""
    retry: Backoff
    """Before a refused payment is tried again as another item."""


class PaymentSettings(ServiceSettings):
    """Settings of a service that pays."""

    payment_seconds: float = Field(default=0.5, gt=0, description="longest pause between looks for payments to send")
    payment_resend_seconds: float = Field(
        default=1.0, gt=0, description="wait after platform-groups could not take payments, doubling"
    )
    payment_resend_longest_seconds: float = Field(default=60.0, gt=0, description="longest such wait")
    payment_retry_seconds: float = Field(
        default=60.0, gt=0, description="wait before a refused payment is tried again; doubles with each attempt"
    )
    payment_retry_longest_seconds: float = Field(default=3600.0, gt=0, description="longest such wait")

    @property
    def payment_waits(self) -> Waits:
        return Waits(
            self.payment_seconds,
            Backoff(self.payment_resend_seconds, self.payment_resend_longest_seconds),
            Backoff(self.payment_retry_seconds, self.payment_retry_longest_seconds),
        )
