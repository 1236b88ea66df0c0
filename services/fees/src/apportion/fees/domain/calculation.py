"""A calculation as it is shown: its inputs, its line, and what became of its charge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apportion.fees.domain.charge import ChargeState, FeeType


@dataclass(frozen=True, slots=True)
class Calculation:
    """One row of the calculation log with the state of its charge. `settle_time` is None until it is paid."""

    calculation_id: int
    fee_type: FeeType
    subscription_id: int
    master_id: int
    payer_account_id: int
    payee_account_id: int
    child_trade_id: int
    deal_ticket: int
    closed_volume_e8: int
    currency_code: str
    rate_minor: int
    fee_minor: int
    line: str
    charge_state: ChargeState
    transfer_id: int
    reason: str
    server_time_ms: int
    create_time: datetime
    settle_time: datetime | None


@dataclass(frozen=True, slots=True)
class BookedClose:
    """What a closing deal was calculated on."""

    child_trade_id: int
    deal_ticket: int
    subscription_id: int
    closed_volume_e8: int


@dataclass(frozen=True, slots=True)
class CalculationFilter:
    """What to list; 0 and None: no restriction."""

    label: int
    master_id: int
    subscription_id: int
    charge_state: ChargeState | None
