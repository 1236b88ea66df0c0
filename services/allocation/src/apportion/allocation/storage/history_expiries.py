"""When the history has served its time."""

from __future__ import annotations

from apportion.storage import Expiry


def history_expiries(days: int) -> tuple[Expiry, ...]:
    """Of deals and equities alike: a deposit without its equity, or the other way round, would be a result.

    0: never. Marks of own transfers stay a day longer than the deals that they explain.
    """
    if not days:
        return ()
    return (
        Expiry("account_deals", "deal_time < now() - make_interval(days => $1)", days),
        Expiry("equity_days", "first_time < now() - make_interval(days => $1)", days),
        Expiry("own_transfers", "recorded_time < now() - make_interval(days => $1)", days + 1),
    )
