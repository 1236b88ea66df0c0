"""What a deal booked on the account that made it."""

from __future__ import annotations

from dataclasses import dataclass

from apportion.money import Rounding, mul_div


@dataclass(frozen=True, slots=True)
class DealMoney:
    """In minor units of the account's currency, signed."""

    profit_minor: int = 0
    swap_minor: int = 0
    commission_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.profit_minor + self.swap_minor + self.commission_minor

    @property
    def is_nothing(self) -> bool:
        return self == NO_MONEY

    def of_reversal(self, closed_e8: int, opened_e8: int) -> tuple[DealMoney, DealMoney]:
        """(what belongs to the closed part, to the opened part): commission goes by volume, the rest is of the close.

        Volumes are magnitudes.
        """
        if not closed_e8:
            return NO_MONEY, self
        commission_minor = mul_div(self.commission_minor, closed_e8, closed_e8 + opened_e8, Rounding.HALF_UP)
        closing = DealMoney(self.profit_minor, self.swap_minor, commission_minor)
        return closing, DealMoney(commission_minor=self.commission_minor - commission_minor)


NO_MONEY = DealMoney()
