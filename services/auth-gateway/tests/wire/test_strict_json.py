"""The short reading and the careful one agree, and neither ever breaks."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from apportion.auth_gateway.errors import EnvelopeError
from apportion.auth_gateway.wire.envelope import read_calls
from apportion.auth_gateway.wire.strict_json import parse_json

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@given(values)
def test_both_readings_agree(value: object) -> None:
    try:
        short = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    spaced = json.dumps(value).encode()
    assert outcome(short) == outcome(spaced)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\u', max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_an_envelope_error(body: bytes) -> None:
    outcome(body)


@given(values)
def test_any_value_is_calls_or_malformed(value: object) -> None:
    read_calls(value)


def outcome(body: bytes) -> object:
    try:
        return parse_json(body)
    except EnvelopeError as error:
        return error.reason
