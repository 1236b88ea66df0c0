from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from apportion.allocation.storage.packing import pack, pack_sparse, unpack, unpack_sparse
from apportion.money import INT64_MAX, INT64_MIN


@given(
    st.integers(0, 63).flatmap(
        lambda bits: st.lists(st.one_of(st.integers(-(2**bits), 2**bits - 1), st.just(INT64_MIN)))
    )
)
def test_a_column_comes_back_as_it_was(values):
    column = np.array(values, dtype=np.int64)
    assert np.array_equal(unpack(*pack(column)), column)


@pytest.mark.parametrize(
    ("values", "width"),
    [
        ([], 1),
        ([127, -127], 1),
        ([-128], 2),
        ([128, INT64_MIN], 2),
        ([32_768], 4),
        ([2**31 - 1, INT64_MIN], 4),
        ([-(2**31)], 8),
        ([INT64_MAX], 8),
        ([INT64_MIN], 1),
    ],
)
def test_a_column_is_as_narrow_as_its_values(values, width):
    """The least value of a width stands for what is unknown, so nothing else is kept as it."""
    assert pack(np.array(values, dtype=np.int64))[0] == width


def test_columns_of_the_first_releases_are_read():
    assert unpack(4, np.array([1, -2], dtype="<i4").tobytes()).tolist() == [1, -2]
    assert unpack(8, np.array([1, INT64_MIN], dtype="<i8").tobytes()).tolist() == [1, INT64_MIN]
    assert unpack(0, b"").size == 0
    assert unpack_sparse(1, b"\x00\x03", 2).tolist() == [0, 3]
    assert unpack_sparse(1, b"", 2).tolist() == [0, 0]


@given(arrays(np.int8, st.integers(0, 40), elements=st.sampled_from([0, 0, 0, 0, 0, 1, 9, 127])))
def test_reasons_come_back_as_they_were(column):
    width, packed = pack_sparse(column)
    assert np.array_equal(unpack_sparse(width, packed, column.size), column)
    assert len(packed) <= column.size
