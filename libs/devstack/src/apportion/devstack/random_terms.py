"""By what masters' trades are apportioned on a random day, and how investors follow: drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypedDict

from apportion.api.allocation.v1 import masters_pb2, subscriptions_pb2
from apportion.devstack.world import E8, HEDGE_GROUP

COMMISSION_GROUP = "demo\\forex-hedge-usd-commission"
NETTING_GROUP = "demo\\forex-netting-usd"
UNKNOWN_SYMBOL = "EURUSD.nowhere"

Method = masters_pb2.AllocationMethod
Rounding = masters_pb2.RoundingPolicy


@dataclass(frozen=True)
class Terms:
    """By what a master's trades are apportioned."""

    method: Method.ValueType
    rounding: Rounding.ValueType
    account_type: masters_pb2.AccountType.ValueType = masters_pb2.ACCOUNT_TYPE_MAM
    reverses: bool = False
    """Some of his followers do the opposite."""
    group: str = HEDGE_GROUP
    """On the trading server."""
    mode: masters_pb2.AllocationMode.ValueType = masters_pb2.ALLOCATION_MODE_TRADES
    residual_rule: Rounding.ValueType = masters_pb2.ROUNDING_POLICY_UNSPECIFIED
    deposit_minor: int = 50_000_000
    is_reckless: bool = False
    """Opens as much as his account carries, until the server closes it."""

    @property
    def name(self) -> str:
        method = Method.Name(self.method).removeprefix("ALLOCATION_METHOD_")
        rounding = Rounding.Name(self.rounding).removeprefix("ROUNDING_POLICY_")
        kind = masters_pb2.AccountType.Name(self.account_type).removeprefix("ACCOUNT_TYPE_")
        words = [method, rounding, kind, self.group.rpartition("\\")[2], "RECKLESS" if self.is_reckless else ""]
        return " ".join([*words, "PROFIT" if self.distributes else ""]).strip()

    @property
    def nets(self) -> bool:
        return self.group == NETTING_GROUP

    @property
    def distributes(self) -> bool:
        """Profit instead of trades."""
        return self.mode == masters_pb2.ALLOCATION_MODE_PROFIT


COPY = masters_pb2.ACCOUNT_TYPE_COPY
LINEUP = (
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT, masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_BALANCE, masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST, reverses=True),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY, masters_pb2.ROUNDING_POLICY_CARRY, group=NETTING_GROUP),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUAL_RISK, masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_BALANCE, masters_pb2.ROUNDING_POLICY_DOWN),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY, masters_pb2.ROUNDING_POLICY_NEAREST, COPY, reverses=True),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_FREE_MARGIN, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_FIXED_LOT, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(
        masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
        masters_pb2.ROUNDING_POLICY_CARRY,
        reverses=True,
        group=NETTING_GROUP,
    ),
    Terms(masters_pb2.ALLOCATION_METHOD_RISK, masters_pb2.ROUNDING_POLICY_DOWN),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUITY_SHARE, masters_pb2.ROUNDING_POLICY_NEAREST),
    Terms(masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(
        masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY,
        masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST,
        group=COMMISSION_GROUP,
        mode=masters_pb2.ALLOCATION_MODE_PROFIT,
    ),
    Terms(
        masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT,
        masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER,
        group=NETTING_GROUP,
        mode=masters_pb2.ALLOCATION_MODE_PROFIT,
        residual_rule=masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER,
    ),
    Terms(
        masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
        masters_pb2.ROUNDING_POLICY_NEAREST,
        deposit_minor=200_000,
        is_reckless=True,
    ),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT, masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY, masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUAL_RISK, masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER),
    Terms(masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY, masters_pb2.ROUNDING_POLICY_CARRY, COPY),
    Terms(masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT, masters_pb2.ROUNDING_POLICY_CARRY),
    Terms(
        masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT,
        masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST,
        mode=masters_pb2.ALLOCATION_MODE_PROFIT,
    ),
)
"""Every method, on netting accounts too, then masters who distribute profit and a reckless one, then other policies."""

DIVIDING = {
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT,
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT,
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_BALANCE,
    masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY,
    masters_pb2.ALLOCATION_METHOD_EQUAL_RISK,
}


class Parameters(TypedDict):
    """By what a method computes the volume of one subscription."""

    ratio_e8: int
    lot_e8: int
    percent_e8: int
    lot_mode: subscriptions_pb2.LotMode.ValueType


def draw_parameters(chance: random.Random, terms: Terms, follower_count: int) -> Parameters:
    """Ratio, lot, percent and mode such as a broker would set for an account of USD 5 000 to 50 000."""
    ratio, lot, percent = E8, 0, 0
    mode: subscriptions_pb2.LotMode.ValueType = subscriptions_pb2.LOT_MODE_MULTIPLIER
    match terms.method:
        case masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER:
            ratio = chance.randrange(E8 // 100, E8 // 5)
        case masters_pb2.ALLOCATION_METHOD_COPY_BY_BALANCE | masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY:
            ratio = chance.randrange(E8 // 10, 2 * E8)
        case masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT:
            lot = chance.randrange(0, 5) * chance.randrange(E8)
        case masters_pb2.ALLOCATION_METHOD_FIXED_LOT:
            lot = chance.randrange(E8 // 10)
        case masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT:
            percent = chance.randrange(100 * E8 // (2 * follower_count), 100 * E8 // follower_count)
        case masters_pb2.ALLOCATION_METHOD_EQUAL_RISK:
            percent = chance.choice([0, 0, 200 * E8, 5_000 * E8, 10_000 * E8])
        case masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT:
            percent = chance.randrange(E8, 8 * E8)
        case masters_pb2.ALLOCATION_METHOD_RISK:
            percent = chance.randrange(20 * E8, 200 * E8)
        case masters_pb2.ALLOCATION_METHOD_EQUITY_SHARE:
            percent = chance.randrange(E8 // 20_000, E8 // 2_000)
        case masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER:
            mode = chance.choice(
                [
                    subscriptions_pb2.LOT_MODE_MULTIPLIER,
                    subscriptions_pb2.LOT_MODE_FIXED,
                    subscriptions_pb2.LOT_MODE_RISK,
                    subscriptions_pb2.LOT_MODE_EQUITY,
                ]
            )
            lot = chance.randrange(E8 // 10)
            equity = mode == subscriptions_pb2.LOT_MODE_EQUITY
            percent = chance.randrange(E8 // 20_000, E8 // 2_000) if equity else chance.randrange(20 * E8, 200 * E8)
    return {"ratio_e8": ratio, "lot_e8": lot, "percent_e8": percent, "lot_mode": mode}


def draw_settings(chance: random.Random, terms: Terms, *, ignores_stops: bool) -> subscriptions_pb2.CopySettings:
    """Most follow plainly; the others filter, map, limit or reverse. Only who ignores stops may map to a symbol of
    quite another price.
    """
    settings = subscriptions_pb2.CopySettings(
        reverse=terms.reverses and chance.random() < 0.3,
        ignore_stops=ignores_stops,
        leave_policy=chance.choice(
            [subscriptions_pb2.LEAVE_POLICY_CLOSE, subscriptions_pb2.LEAVE_POLICY_CLOSE_WITH_MASTER]
        ),
    )
    kinds = ["direction", "deny", "allow"]
    if terms.distributes:  # Records have no other settings that matter.
        kinds *= 2
    else:
        kinds += ["nowhere", "lot", *(["map"] if ignores_stops else [])]
    if terms.method not in DIVIDING:
        # What one may not have is another's there, and how much is held is not told with the decision.
        kinds += ["total", "count", "round_up"]
    kind = chance.choice(kinds) if chance.random() < 0.4 else ""
    if kind == "direction":
        settings.direction_filter = chance.choice(
            [subscriptions_pb2.DIRECTION_FILTER_BUY_ONLY, subscriptions_pb2.DIRECTION_FILTER_SELL_ONLY]
        )
    elif kind == "deny":
        settings.denied_symbols.append(chance.choice(["EURUSD", "GBPUSD"]))
    elif kind == "allow":
        settings.allowed_symbols.extend(chance.sample(["AUDUSD", "EURUSD", "GBPUSD"], 2))
    elif kind == "map":
        settings.symbol_map["EURUSD"] = "AUDUSD"
    elif kind == "nowhere":
        settings.symbol_map["EURUSD"] = UNKNOWN_SYMBOL
    elif kind == "lot":
        settings.max_lot_e8 = chance.randrange(1, 15) * E8 // 100
    elif kind == "total":
        settings.max_total_lot_e8 = chance.randrange(5, 30) * E8 // 100
    elif kind == "count":
        settings.max_open_positions = chance.randrange(1, 3)
    elif kind == "round_up":
        settings.round_up_to_min = True
    return settings
