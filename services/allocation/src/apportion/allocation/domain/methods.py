"""Account types, allocation methods and rounding policies: which go together, and what each computes with.

The numbers are those of the protos and of the database. A new method is one row in `FAMILIES`, one in `BASES` and its
formula in `shares`; its family's kernel does the rest.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from apportion.allocation.errors import (
    AccountTypeNotAvailable,
    MethodNotAllowed,
    RoundingNotAllowed,
)


class AccountType(enum.IntEnum):
    COPY = 1
    PAMM = 2
    MAM = 3


class AllocationMethod(enum.IntEnum):
    DIVIDE_BY_LOT = 1
    DIVIDE_BY_PERCENT = 2
    DIVIDE_BY_BALANCE = 3
    DIVIDE_BY_EQUITY = 4
    EQUAL_RISK = 5
    EQUITY_PERCENT = 6
    COPY_BY_BALANCE = 7
    COPY_BY_EQUITY = 8
    COPY_BY_FREE_MARGIN = 9
    FIXED_LOT = 10
    RATIO_MULTIPLIER = 11
    RISK = 12
    EQUITY_SHARE = 13
    LOT_MULTIPLIER = 14


class RoundingPolicy(enum.IntEnum):
    NEAREST_LARGEST = 1
    LARGEST_REMAINDER = 2
    NEAREST = 3
    DOWN = 4
    CARRY = 5


class LotMode(enum.IntEnum):
    """How a subscription of a LOT_MULTIPLIER master computes its volume."""

    MULTIPLIER = 1
    FIXED = 2
    RISK = 3
    EQUITY = 4


class AllocationMode(enum.IntEnum):
    """What a master trade becomes at the investors: child trades, or parts of its profit."""

    TRADES = 1
    PROFIT = 2


class Family(enum.Enum):
    """How the children's volumes relate to the master's."""

    DIVIDING = "the children add up to the master"
    DERIVING = "the master follows the children"
    COPYING = "each child stands alone"


class Basis(enum.Enum):
    """The figure of an account that a method divides or copies by."""

    NONE = "none"
    BALANCE = "balance"
    EQUITY = "equity"
    FREE_MARGIN = "free margin"


class Figure(enum.Enum):
    """What a decision must know of each subscription's account besides the subscription itself."""

    BALANCE = "balance"
    EQUITY = "equity"
    FREE_MARGIN = "free margin"
    MARGIN = "used margin"
    LEVERAGE = "leverage"
    HELD = "volume already allocated to it in the symbol's direction"
    CARRY = "what it is owed from earlier rounding"
    PRICE = "contract size and conversion rate of the symbol"
    """One for all accounts of a currency."""


FAMILIES: Mapping[AllocationMethod, Family] = {
    AllocationMethod.DIVIDE_BY_LOT: Family.DIVIDING,
    AllocationMethod.DIVIDE_BY_PERCENT: Family.DIVIDING,
    AllocationMethod.DIVIDE_BY_BALANCE: Family.DIVIDING,
    AllocationMethod.DIVIDE_BY_EQUITY: Family.DIVIDING,
    AllocationMethod.EQUAL_RISK: Family.DIVIDING,
    AllocationMethod.EQUITY_PERCENT: Family.DERIVING,
    AllocationMethod.COPY_BY_BALANCE: Family.COPYING,
    AllocationMethod.COPY_BY_EQUITY: Family.COPYING,
    AllocationMethod.COPY_BY_FREE_MARGIN: Family.COPYING,
    AllocationMethod.FIXED_LOT: Family.COPYING,
    AllocationMethod.RATIO_MULTIPLIER: Family.COPYING,
    AllocationMethod.RISK: Family.COPYING,
    AllocationMethod.EQUITY_SHARE: Family.COPYING,
    AllocationMethod.LOT_MULTIPLIER: Family.COPYING,
}
BASES: Mapping[AllocationMethod, Basis] = {
    AllocationMethod.DIVIDE_BY_LOT: Basis.NONE,
    AllocationMethod.DIVIDE_BY_PERCENT: Basis.NONE,
    AllocationMethod.DIVIDE_BY_BALANCE: Basis.BALANCE,
    AllocationMethod.DIVIDE_BY_EQUITY: Basis.EQUITY,
    AllocationMethod.EQUAL_RISK: Basis.EQUITY,
    AllocationMethod.EQUITY_PERCENT: Basis.EQUITY,
    AllocationMethod.COPY_BY_BALANCE: Basis.BALANCE,
    AllocationMethod.COPY_BY_EQUITY: Basis.EQUITY,
    AllocationMethod.COPY_BY_FREE_MARGIN: Basis.FREE_MARGIN,
    AllocationMethod.FIXED_LOT: Basis.NONE,
    AllocationMethod.RATIO_MULTIPLIER: Basis.NONE,
    AllocationMethod.RISK: Basis.EQUITY,
    AllocationMethod.EQUITY_SHARE: Basis.EQUITY,
    AllocationMethod.LOT_MULTIPLIER: Basis.EQUITY,
}
_FURTHER_FIGURES: Mapping[AllocationMethod, frozenset[Figure]] = {
    AllocationMethod.EQUAL_RISK: frozenset({Figure.MARGIN, Figure.LEVERAGE, Figure.HELD, Figure.PRICE}),
    AllocationMethod.EQUITY_PERCENT: frozenset({Figure.LEVERAGE, Figure.PRICE}),
}
ALLOWED_METHODS: Mapping[AccountType, frozenset[AllocationMethod]] = {
    AccountType.COPY: frozenset({AllocationMethod.COPY_BY_EQUITY}),
    AccountType.MAM: frozenset(AllocationMethod),
}
POLICIES: Mapping[Family, tuple[RoundingPolicy, ...]] = {
    Family.DIVIDING: (RoundingPolicy.NEAREST_LARGEST, RoundingPolicy.LARGEST_REMAINDER, RoundingPolicy.CARRY),
    Family.DERIVING: (RoundingPolicy.NEAREST, RoundingPolicy.DOWN, RoundingPolicy.CARRY),
    Family.COPYING: (RoundingPolicy.NEAREST, RoundingPolicy.DOWN, RoundingPolicy.CARRY),
}
"""The first of each is the default."""

SEVERAL_MASTERS_ALLOWED = frozenset({AccountType.COPY, AccountType.MAM})


def needs(method: AllocationMethod, rounding: RoundingPolicy) -> frozenset[Figure]:
    """The figures that a decision by this method and policy computes with: no others have to be gathered."""
    basis = BASES[method]
    figures = _FURTHER_FIGURES.get(method, frozenset())
    if basis is not Basis.NONE:
        figures |= {Figure[basis.name]}
    return figures | {Figure.CARRY} if rounding is RoundingPolicy.CARRY else figures


def policies_of(method: AllocationMethod) -> tuple[RoundingPolicy, ...]:
    """The policies a method may round by, the default first. EQUAL_RISK settles earlier rounding by what each holds:
    there is nothing to carry.
    """
    policies = POLICIES[FAMILIES[method]]
    if method is AllocationMethod.EQUAL_RISK:
        return tuple(policy for policy in policies if policy is not RoundingPolicy.CARRY)
    return policies


def checked_rounding(
    account_type: AccountType, method: AllocationMethod, rounding: RoundingPolicy | None
) -> RoundingPolicy:
    """The policy a master of these terms rounds by (None: the family's default); refuses terms that do not go together.

    Raises AccountTypeNotAvailable, MethodNotAllowed or RoundingNotAllowed.
    """
    if account_type not in ALLOWED_METHODS:
        raise AccountTypeNotAvailable(account_type=account_type.name)
    if method not in ALLOWED_METHODS[account_type]:
        raise MethodNotAllowed(account_type=account_type.name, method=method.name)
    policies = policies_of(method)
    policy = policies[0] if rounding is None else rounding
    if policy not in policies:
        raise RoundingNotAllowed(method=method.name, rounding=policy.name)
    return policy
