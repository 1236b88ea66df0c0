"""What the database holds of a decision, as it was written before, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from apportion.allocation.storage.allocations import load_columns
from apportion.storage import transaction


async def decided(house) -> int:
    master = await house.master()
    for account_id in (101, 102, 103):
        await house.follower(master, account_id)
    await house.deal(64, 1.0, position=900)
    return house.waiting[0].allocation_id


async def test_a_row_as_the_releases_before_wrote_it_is_read_and_taken(house):
    """They wrote 4 or 8 bytes a value and did not know of sparse reasons."""
    allocation_id = await decided(house)
    older = {
        "id": allocation_id,
        "volumes": np.array([100, 0, 100], dtype="<i4").tobytes(),
        "reasons": b"\x00\x07\x00",
        "bases": np.array([1, 2, 3], dtype="<i8").tobytes(),
    }
    async with transaction(house.engine) as tx:
        await tx.execute(
            text(
                "UPDATE allocations SET volume_bytes = 4, volumes = :volumes, reason_bytes = DEFAULT,"
                " reasons = :reasons, basis_bytes = 8, bases = :bases WHERE allocation_id = :id"
            ),
            older,
        )
        columns = await load_columns(tx, allocation_id)
    assert (columns.volumes_e8 // 1_000_000).tolist() == [100, 0, 100]
    assert columns.reasons.tolist() == [0, 7, 0]
    assert columns.bases.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        "volumes = volumes || '\\x00'",
        "volume_bytes = 3",
        "reason_bytes = 2",
        "reason_bytes = 5, reasons = '\\x00000000'",
        "reasons = '\\x00'",
        "basis_bytes = 2, bases = '\\x00'",
    ],
)
async def test_bytes_that_do_not_fit_the_rows_are_refused(house, change):
    allocation_id = await decided(house)
    with pytest.raises(IntegrityError, match=r"allocations_(volumes|reasons|bases)_check"):
        async with transaction(house.engine) as tx:
            await tx.execute(text(f"UPDATE allocations SET {change} WHERE allocation_id = :id"), {"id": allocation_id})
