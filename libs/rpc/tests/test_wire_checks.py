"""Problems, request keys, timestamps."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from apportion.api.allocation.v1 import masters_pb2
from apportion.api.common.v1 import events_pb2
from apportion.errors import InvalidArgument, Kind, RequestIdRequired, TimestampInvalid
from apportion.rpc import Caller, Problems, from_timestamp, parse_filters, parse_id, request_key, to_timestamp
from apportion.rpc.caller import enter_call
from apportion.rpc.fields import given as given_field

REQUEST_ID = "0b9f4f0e-7f2f-4c57-9c4f-0a7d4f6f3b11"


def test_an_optional_field_that_is_not_set_is_none_and_zero_is_zero() -> None:
    message = masters_pb2.Master()
    assert given_field(message, "currency_digits") is None
    message.currency_digits = 0
    assert given_field(message, "currency_digits") == 0
    assert given_field(message, "currency_digits", str) == "0"


def test_all_problems_are_told_at_once() -> None:
    problems = Problems()
    assert not problems.require(False, "a", "is wrong")
    assert not problems.positive(0, "b.amount_minor")
    assert not problems.not_negative(-1, "c")
    assert not problems.within(11, 1, 10, "d")
    assert not problems.uuid("7", "e")
    assert not problems.text("", "f", longest=3)
    assert not problems.text("long", "g", longest=3)
    assert not problems.one_of("x", ("y",), "h")
    assert not problems.present(events_pb2.Event(), "legs[0].occurred_time")
    with pytest.raises(InvalidArgument) as caught:
        problems.raise_if_any()
    error = caught.value
    fields = ["a", "b.amount_minor", "c", "d", "e", "f", "g", "h", "legs[0].occurred_time"]
    assert [violation.field for violation in error.violations] == fields
    assert all(violation.description for violation in error.violations)


def test_an_id_must_be_given_and_a_filter_not_be_negative() -> None:
    assert parse_id(7, "master_id") == 7
    parse_filters(master_id=0, subscription_id=7)
    with pytest.raises(InvalidArgument, match="invalid: master_id"):
        parse_id(0, "master_id")
    with pytest.raises(InvalidArgument, match="invalid: master_id, subscription_id"):
        parse_filters(master_id=-1, subscription_id=-1)


def test_what_is_right_is_no_problem() -> None:
    problems = Problems()
    assert problems.require(True, "a", "is wrong")
    assert problems.positive(1, "b")
    assert problems.not_negative(0, "c")
    assert problems.within(10, 1, 10, "d")
    assert problems.uuid(REQUEST_ID.upper(), "e")
    assert problems.text("abc", "f", longest=3)
    assert problems.one_of("y", ("y",), "h")
    assert problems.present(events_pb2.Event(occurred_time=Timestamp()), "occurred_time")
    problems.raise_if_any()


@pytest.mark.parametrize(
    ("code", "holds"),
    [("USD", True), ("USC", True), ("USDT", True), ("usd", False), ("US", False), ("U D", False), ("A" * 16, False)],
)
def test_a_currency_is_what_a_trading_server_may_have(code: str, holds: bool) -> None:
    assert Problems().currency(code, "currency_code") is holds


@pytest.mark.parametrize(("number", "holds"), [(0, False), (1, True), (9_999, False), (-1, False)])
def test_an_enum_must_be_said_and_known(number: int, holds: bool) -> None:
    enum_type = getattr(masters_pb2, next(iter(masters_pb2.DESCRIPTOR.enum_types_by_name)))
    assert Problems().enum(number, enum_type, "kind") is holds


T = TypeVar("T")


class Write:
    def __init__(self, request_id: str, content: bytes = b"x") -> None:
        self.request_id = request_id
        self._content = content

    def SerializeToString(self, deterministic: bool = False) -> bytes:
        assert deterministic
        return self._content


def in_a_call(work: Callable[[], T]) -> T:
    """`work` as in a handler: in a context of its own, as each RPC has one, so that no later test inherits the call."""

    def inside() -> T:
        enter_call(Caller("fees", 7, "/x/Create", deadline=0.0))
        return work()

    return copy_context().run(inside)


def test_a_request_key_is_label_method_id_and_hash() -> None:
    key = in_a_call(lambda: request_key(Write(REQUEST_ID.upper())))
    assert (key.label, key.method, key.request_id) == (7, "/x/Create", REQUEST_ID)
    assert key.input_hash == hashlib.sha256(b"x").digest()
    assert in_a_call(lambda: request_key(Write(REQUEST_ID), "/x/Other")).method == "/x/Other"


@pytest.mark.parametrize("request_id", ["", "7", REQUEST_ID.replace("-", ""), "{" + REQUEST_ID + "}", REQUEST_ID + "0"])
def test_a_request_id_must_be_a_uuid(request_id: str) -> None:
    with pytest.raises(RequestIdRequired) as caught:
        in_a_call(lambda: request_key(Write(request_id)))
    assert caught.value.kind is Kind.INVALID


def test_every_fresh_uuid_is_a_request_id() -> None:
    in_a_call(lambda: request_key(Write(str(uuid.uuid4()))))


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=3))])))
def test_an_instant_survives_the_wire(instant: datetime) -> None:
    if instant.year in (1, 9999):  # a zone may push the edge years out of range
        return
    assert from_timestamp(to_timestamp(instant), "at") == instant


def test_the_first_and_last_instants_survive() -> None:
    for instant in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
        assert from_timestamp(to_timestamp(instant), "at") == instant


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(0, -1), (0, 10**9), (253_402_300_800, 0), (-62_135_596_801, 0), (2**62, 0)]
)
def test_an_impossible_timestamp_is_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(TimestampInvalid) as caught:
        from_timestamp(Timestamp(seconds=seconds, nanos=nanos), "legs[1].effective_time")
    assert caught.value.violations[0].field == "legs[1].effective_time"


def test_a_civil_time_without_zone_is_a_bug() -> None:
    with pytest.raises(ValueError, match="time zone"):
        to_timestamp(datetime(2026, 1, 5, tzinfo=UTC).replace(tzinfo=None))
