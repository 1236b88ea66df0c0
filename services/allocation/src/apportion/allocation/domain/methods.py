"""Account types, allocation methods and rounding policies: which go together, and which run in this version.

The numbers are those of the protos and of the database. A new method is one row in `FAMILIES`, one in `BASES`, one in
`AVAILABLE_METHODS`; its family's kernel does the rest.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from apportion.allocation.errors import (
    AccountTypeNotAvailable,
    MethodNotAllowed,
    MethodNotAvailable,
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
    """The figure of an account that a method computes with."""

    NONE = "none"
    EQUITY = "equity"


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
    AllocationMethod.DIVIDE_BY_EQUITY: Basis.EQUITY,
    AllocationMethod.COPY_BY_EQUITY: Basis.EQUITY,
    AllocationMethod.RATIO_MULTIPLIER: Basis.NONE,
}
AVAILABLE_METHODS = frozenset(BASES)
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


def checked_rounding(
    account_type: AccountType, method: AllocationMethod, rounding: RoundingPolicy | None
) -> RoundingPolicy:
    """The policy a master of these terms rounds by (None: the family's default); refuses terms that do not go together.

    Raises AccountTypeNotAvailable, MethodNotAllowed, MethodNotAvailable or RoundingNotAllowed.
    """
    if account_type not in ALLOWED_METHODS:
        raise AccountTypeNotAvailable(account_type=account_type.name)
    if method not in ALLOWED_METHODS[account_type]:
        raise MethodNotAllowed(account_type=account_type.name, method=method.name)
    if method not in AVAILABLE_METHODS:
        raise MethodNotAvailable(method=method.name)
    policies = POLICIES[FAMILIES[method]]
    policy = policies[0] if rounding is None else rounding
    if policy not in policies:
        raise RoundingNotAllowed(method=method.name, rounding=policy.name)
    if policy is RoundingPolicy.CARRY:
        raise MethodNotAvailable("the CARRY policy is not available yet", rounding=policy.name)
    return policy
