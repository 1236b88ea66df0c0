"""All subscriptions of a master at one version, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    round_up_to_min: NDArray[np.bool_]
    ratios_e8: Int64Array

    def __len__(self) -> int:
        return int(self.subscription_ids.size)
