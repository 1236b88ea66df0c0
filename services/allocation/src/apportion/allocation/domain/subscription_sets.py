"""All subscriptions of a master at one version, as columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class SubscriptionSet:
    """Columns of one length in login order. A set never changes: a changed subscription makes a new version."""

    master_id: int
    set_version: int
    subscription_ids: Int64Array
    account_ids: Int64Array
    logins: Int64Array
    active: NDArray[np.bool_]
    ratios_e8: Int64Array
    lots_e8: Int64Array
    percents_e8: Int64Array
    modes: NDArray[np.int8]
    """Values of LotMode."""
    profiles: tuple[CopySettings, ...]
    """The distinct settings of the set; `profile_rows` tell which each subscription has."""
    profile_rows: NDArray[np.intp]

    def __len__(self) -> int:
        return int(self.subscription_ids.size)

    def only(self, subscription_id: int) -> SubscriptionSet:
        """The set with one of its subscriptions."""
        rows = np.flatnonzero(self.subscription_ids == subscription_id)
        columns = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return replace(self, **columns)

    def spread(self, value_of: Callable[[CopySettings], int]) -> Int64Array:
        """A figure of each subscription's settings: computed once for each distinct settings."""
        return np.array([value_of(profile) for profile in self.profiles], dtype=np.int64)[self.profile_rows]

    @property
    def round_up_factors_e8(self) -> Int64Array:
        """How many times its share min lot may be, for those who want it instead of nothing; 0: not wanted."""
        return self.spread(lambda settings: settings.round_up_factor_e8)

    @property
    def round_up_to_min(self) -> NDArray[np.bool_]:
        """Who wants min lot instead of nothing."""
        return self.round_up_factors_e8 > 0
