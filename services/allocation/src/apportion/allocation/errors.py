"""What the allocation service refuses, and why.

DomainError
├── INVALID
│   ├── SelfSubscription        SELF_SUBSCRIPTION
│   ├── RatioRange              RATIO_RANGE
│   ├── VolumeStep              VOLUME_STEP
│   └── SpanTooLong             SPAN_TOO_LONG
├── ALREADY_EXISTS
│   ├── NameTaken               MASTER_NAME_TAKEN
│   ├── MasterAccountTaken      MASTER_ACCOUNT_TAKEN
│   └── SubscriptionExists      SUBSCRIPTION_EXISTS
├── CONFLICT
│   └── (shared) VersionConflict
└── PRECONDITION
    ├── AccountTypeNotAvailable ACCOUNT_TYPE_NOT_AVAILABLE
    ├── MethodNotAllowed        METHOD_NOT_ALLOWED
    ├── RoundingNotAllowed      ROUNDING_NOT_ALLOWED
    ├── AccountKindMismatch     ACCOUNT_KIND_MISMATCH
    ├── AccountNotOpen          ACCOUNT_NOT_OPEN
    ├── MarginModeUnknown       MARGIN_MODE_UNKNOWN
    ├── NettingStops            NETTING_STOPS
    ├── NettingPositionsOpen    NETTING_POSITIONS_OPEN
    ├── CurrencyMismatch        CURRENCY_MISMATCH
    ├── CurrencyDigitsMismatch  CURRENCY_DIGITS_MISMATCH
    ├── TradingServerMismatch   TRADING_SERVER_MISMATCH
    ├── SeveralMasters          SEVERAL_MASTERS
    ├── FollowerEquity          FOLLOWER_EQUITY
    ├── HaltCauseMismatch       HALT_CAUSE_MISMATCH
    ├── SymbolUnknown           SYMBOL_UNKNOWN
    ├── ZeroBase                ZERO_BASE
    ├── CopyOpenPositionsNotAllowed COPY_OPEN_POSITIONS_NOT_ALLOWED
    ├── SubscriptionEnded       SUBSCRIPTION_ENDED
    ├── PercentSum              PERCENT_SUM
    ├── OpenTrades              OPEN_TRADES
    ├── PooledOnly              POOLED_ONLY
    ├── RecordsOpen             RECORDS_OPEN
    ├── PositionsTooMany        POSITIONS_TOO_MANY
    └── DealConflict            DEAL_CONFLICT
"""

from __future__ import annotations

from apportion.errors import DomainError, Kind


class SelfSubscription(DomainError):
    """An account cannot follow itself."""

    kind = Kind.INVALID
    reason = "SELF_SUBSCRIPTION"
    cure = "Subscribe another account."


class RatioRange(DomainError):
    """The ratio is not above 0 or is greater than the greatest that is allowed."""

    kind = Kind.INVALID
    reason = "RATIO_RANGE"
    cure = "Send a ratio within the range named in the metadata (1e-8 units)."


class VolumeStep(DomainError):
    """The volume is 0 or not a multiple of the symbol's lot step."""

    kind = Kind.INVALID
    reason = "VOLUME_STEP"
    cure = "Send a volume on the symbol's grid."


class SpanTooLong(DomainError):
    """The span has more decisions, or more rows in them, than one report is computed from."""

    kind = Kind.INVALID
    reason = "SPAN_TOO_LONG"
    cure = "Ask for the span up to the end named in the metadata, then on from there."


class NameTaken(DomainError):
    """Another master of the label has this name."""

    kind = Kind.ALREADY_EXISTS
    reason = "MASTER_NAME_TAKEN"
    cure = "Choose another name."


class MasterAccountTaken(DomainError):
    """Another master trades this account."""

    kind = Kind.ALREADY_EXISTS
    reason = "MASTER_ACCOUNT_TAKEN"
    cure = "Use the master that exists, or another MASTER account."


class SubscriptionExists(DomainError):
    """The account follows this master already."""

    kind = Kind.ALREADY_EXISTS
    reason = "SUBSCRIPTION_EXISTS"
    cure = "Update the subscription that exists; of one that is LEAVING, end it with CLOSE or DETACH first."


class AccountTypeNotAvailable(DomainError):
    """The account type is known, but this version does not run it yet."""

    kind = Kind.PRECONDITION
    reason = "ACCOUNT_TYPE_NOT_AVAILABLE"
    cure = "Choose COPY or MAM."


class MethodNotAllowed(DomainError):
    """The account type does not allow this allocation method."""

    kind = Kind.PRECONDITION
    reason = "METHOD_NOT_ALLOWED"
    cure = "COPY masters use COPY_BY_EQUITY; MAM masters may use any method."


class RoundingNotAllowed(DomainError):
    """The rounding policy does not fit the family of the allocation method."""

    kind = Kind.PRECONDITION
    reason = "ROUNDING_NOT_ALLOWED"
    cure = "Dividing methods: NEAREST_LARGEST, LARGEST_REMAINDER, CARRY (not EQUAL_RISK); others: NEAREST, DOWN, CARRY."


class AccountKindMismatch(DomainError):
    """The account is of another kind than its part in the subscription needs."""

    kind = Kind.PRECONDITION
    reason = "ACCOUNT_KIND_MISMATCH"
    cure = "A master trades a MASTER account, a subscription an INVESTMENT account."


class AccountNotOpen(DomainError):
    """The account is not open on its trading server."""

    kind = Kind.PRECONDITION
    reason = "ACCOUNT_NOT_OPEN"
    cure = "Wait until platform-groups shows the account as OPEN."


class MarginModeUnknown(DomainError):
    """Nobody knows whether the account hedges or nets, so that its deals could not be told apart."""

    kind = Kind.PRECONDITION
    reason = "MARGIN_MODE_UNKNOWN"
    cure = "Wait until platform-groups has read the margin mode of the account's group, or subscribe another account."


class NettingStops(DomainError):
    """The account has one position a symbol, with one stop loss and take profit for all copies: none is copied."""

    kind = Kind.PRECONDITION
    reason = "NETTING_STOPS"
    cure = "Set ignore_stops: the copy follows when its master's position is stopped. Or subscribe a hedging account."


class NettingPositionsOpen(DomainError):
    """A netting account had positions of its own when it was to follow its first master, or to become a master's."""

    kind = Kind.PRECONDITION
    reason = "NETTING_POSITIONS_OPEN"
    cure = "Close what the account has open first. Later trades of a subscribed account's owner are told from copies."


class CurrencyMismatch(DomainError):
    """The account's currency differs from the master's."""

    kind = Kind.PRECONDITION
    reason = "CURRENCY_MISMATCH"
    cure = "Subscribe an account in the master's currency."


class CurrencyDigitsMismatch(DomainError):
    """The account's group counts its currency with other digits than the master's."""

    kind = Kind.PRECONDITION
    reason = "CURRENCY_DIGITS_MISMATCH"
    cure = "Subscribe an account whose group has the master's CurrencyDigits: minor units are compared."


class TradingServerMismatch(DomainError):
    """The account lives on another trading server than the master."""

    kind = Kind.PRECONDITION
    reason = "TRADING_SERVER_MISMATCH"
    cure = "Subscribe an account on the master's trading server: the symbols and the lot grid are the server's."


class SeveralMasters(DomainError):
    """The account follows another master, and an account type involved does not allow several."""

    kind = Kind.PRECONDITION
    reason = "SEVERAL_MASTERS"
    cure = "Use one investment account for each account type; COPY and MAM do not mix on one account."


class FollowerEquity(DomainError):
    """The account's equity is below what the master asks of his followers."""

    kind = Kind.PRECONDITION
    reason = "FOLLOWER_EQUITY"
    cure = "Deposit to the account first; the metadata has both figures in minor units."


class HaltCauseMismatch(DomainError):
    """The master is halted, but not by the named cause."""

    kind = Kind.PRECONDITION
    reason = "HALT_CAUSE_MISMATCH"
    cure = "Only who latched the master may release his latch; the metadata names the causes that hold it."


class SymbolUnknown(DomainError):
    """The trading server does not offer the symbol."""

    kind = Kind.PRECONDITION
    reason = "SYMBOL_UNKNOWN"
    cure = "Check the symbol's name on the trading server."


class ZeroBase(DomainError):
    """There is nothing to compute shares from: the master's equity, or the sum of the followers', is not above 0."""

    kind = Kind.PRECONDITION
    reason = "ZERO_BASE"
    cure = "Fund the accounts, or wait for a fresh account state."


class DealConflict(DomainError):
    """This deal of the master was allocated before, with other figures."""

    kind = Kind.PRECONDITION
    reason = "DEAL_CONFLICT"
    cure = "Compare the stored allocation with the deal on the trading server; one of them is wrong."


class CopyOpenPositionsNotAllowed(DomainError):
    """The master's open positions are divided among his followers: nothing of them is left to copy."""

    kind = Kind.PRECONDITION
    reason = "COPY_OPEN_POSITIONS_NOT_ALLOWED"
    cure = "Subscribe without copy_open_positions; the next trade is divided anew."


class SubscriptionEnded(DomainError):
    """The subscription has ended: nothing of it can be changed."""

    kind = Kind.PRECONDITION
    reason = "SUBSCRIPTION_ENDED"
    cure = "Subscribe the account again."


class PercentSum(DomainError):
    """The percents of the active subscriptions of a DIVIDE_BY_PERCENT master would pass 100."""

    kind = Kind.PRECONDITION
    reason = "PERCENT_SUM"
    cure = "Lower other percents in the same call (BatchUpdateSubscriptions); the metadata has the sum."


class OpenTrades(DomainError):
    """The master has open trades that were allocated by what is to be changed."""

    kind = Kind.PRECONDITION
    reason = "OPEN_TRADES"
    cure = "Close the master's trades first; the metadata has their count."


class RecordsOpen(DomainError):
    """The subscription holds artificial records, which are settled when their master closes, not before."""

    kind = Kind.PRECONDITION
    reason = "RECORDS_OPEN"
    cure = "End it with CLOSE_WITH_MASTER: it takes part in no new trade, and ends when its records are settled."


class PooledOnly(DomainError):
    """Only a MAM master whose method divides his volume can distribute profit instead of trades."""

    kind = Kind.PRECONDITION
    reason = "POOLED_ONLY"
    cure = "Use ALLOCATION_MODE_TRADES, or a MAM master with a dividing method."


class ReverseNotAllowed(DomainError):
    """Shares of a profit that is distributed have the master's sign: nothing of them can be reversed."""

    kind = Kind.PRECONDITION
    reason = "REVERSE_NOT_ALLOWED"
    cure = (
        "Subscribe without reverse. Before a master distributes profit, update his reversed subscriptions (the metadata"
        " has one) or end them."
    )


class PositionsTooMany(DomainError):
    """One account has more open positions than fit into an answer of platform-groups (some 13 000)."""

    kind = Kind.PRECONDITION
    reason = "POSITIONS_TOO_MANY"
    cure = "Look at the account on the trading server: it is not compared with the books."
