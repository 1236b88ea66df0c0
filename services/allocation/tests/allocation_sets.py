"""Subscription sets for tests, from the columns that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS, CopySettings
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import E8


def subscription_set(
    count: int,
    *,
    active: Sequence[bool] | None = None,
    ratios_e8: Sequence[int] | None = None,
    lots_e8: Sequence[int] | None = None,
    percents_e8: Sequence[int] | None = None,
    modes: Sequence[int] | None = None,
    round_up: Sequence[bool] | None = None,
    settings: Sequence[CopySettings] | None = None,
) -> SubscriptionSet:
    """Of master 1, with ids and logins counted from 0; `round_up` is short for settings that round up to min lot."""
    numbers = np.arange(count, dtype=np.int64)
    rows = list(settings or [DEFAULT_SETTINGS] * count)
    if round_up is not None:
        rows = [replace(row, round_up_to_min=bool(wants)) for row, wants in zip(rows, round_up, strict=True)]
    profiles = tuple(dict.fromkeys(rows))
    return SubscriptionSet(
        master_id=1,
        set_version=1,
        subscription_ids=numbers,
        account_ids=numbers,
        logins=numbers,
        active=np.array([True] * count if active is None else active, dtype=np.bool_),
        ratios_e8=_column(ratios_e8, E8, count),
        lots_e8=_column(lots_e8, 0, count),
        percents_e8=_column(percents_e8, 0, count),
        modes=_column(modes, 1, count).astype(np.int8),
        profiles=profiles,
        profile_rows=np.array([profiles.index(row) for row in rows], dtype=np.intp),
    )


def _column(values: Sequence[int] | None, default: int, count: int) -> np.ndarray:
    return np.full(count, default, dtype=np.int64) if values is None else np.array(values, dtype=np.int64)
