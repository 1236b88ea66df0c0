from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from apportion.api.allocation.v1 import allocations_pb2
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import MalformedMessage
from apportion.rpc import check_lengths, column, set_column

INT64 = np.iinfo(np.int64)


@given(arrays(np.int64, st.integers(0, 300)))
def test_a_column_is_the_same_wire_as_extend(values: np.ndarray) -> None:
    fast, slow = events_pb2.DealsObserved(), events_pb2.DealsObserved()
    set_column(fast, "deal_tickets", values)
    slow.deal_tickets.extend(values.tolist())
    assert fast.SerializeToString() == slow.SerializeToString()
    received = column(events_pb2.DealsObserved.FromString(fast.SerializeToString()).deal_tickets)
    assert received.dtype == np.int64
    assert np.array_equal(received, values)


def test_a_column_is_replaced_not_extended() -> None:
    message = events_pb2.DealsObserved(deal_tickets=[1, 2, 3])
    set_column(message, "deal_tickets", np.array([9]))
    assert list(message.deal_tickets) == [9]
    set_column(message, "deal_tickets", [])
    assert column(message.deal_tickets).dtype == np.int64
    assert not column(message.deal_tickets).size


def test_other_columns_are_left_alone() -> None:
    message = events_pb2.DealsObserved(account_ids=[5])
    set_column(message, "deal_tickets", [INT64.min, -1, 0, 1, INT64.max])
    assert list(message.account_ids) == [5]
    assert list(message.deal_tickets) == [INT64.min, -1, 0, 1, INT64.max]


def test_a_column_outlives_its_message() -> None:
    message = events_pb2.DealsObserved(deal_tickets=range(1000))
    values = column(message.deal_tickets)
    message.ClearField("deal_tickets")
    assert np.array_equal(values, np.arange(1000))
    values[0] = 7  # its own memory: may be changed


@pytest.mark.parametrize("values", [np.array([1, 2], dtype=np.int32), [1, 2], np.array([1, 2, 3])[::2] - 1])
def test_other_integers_are_widened(values: np.ndarray) -> None:
    message = events_pb2.DealsObserved()
    set_column(message, "deal_tickets", values)
    assert list(message.deal_tickets) == list(np.asarray(values))


def test_a_narrow_column_takes_only_what_fits() -> None:
    name = next(f.name for f in allocations_pb2.ChildColumns.DESCRIPTOR.fields if f.type == f.TYPE_SFIXED32)
    message = allocations_pb2.ChildColumns()
    set_column(message, name, np.array([-(2**31), 2**31 - 1]))
    assert list(getattr(message, name)) == [-(2**31), 2**31 - 1]
    with pytest.raises(OverflowError, match=name):
        set_column(message, name, np.array([2**31]))
    with pytest.raises(OverflowError):
        set_column(events_pb2.DealsObserved(), "deal_tickets", np.array([2**63], dtype=np.uint64))


def test_what_is_not_a_column_is_refused() -> None:
    message = events_pb2.DealsObserved()
    with pytest.raises(TypeError, match="integers"):
        set_column(message, "deal_tickets", np.array([1.5]))
    with pytest.raises(TypeError, match="one dimension"):
        set_column(message, "deal_tickets", np.zeros((2, 2), dtype=np.int64))
    with pytest.raises(TypeError, match="not a packed sfixed column"):
        set_column(message, "symbols", np.array([1]))


def test_columns_that_belong_together_have_one_length() -> None:
    message = events_pb2.DealsObserved()
    check_lengths(message, column([1, 2]), ["a", "b"])
    with pytest.raises(MalformedMessage) as caught:
        check_lengths(message, column([1, 2]), ["a"])
    assert caught.value.metadata == {"type": "apportion.api.platform_groups.v1.DealsObserved"}
