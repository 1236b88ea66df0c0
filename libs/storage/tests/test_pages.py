from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.errors import InvalidArgument, PageTokenInvalid
from apportion.storage import decode_page_token, encode_page_token, page_size, query_hash
from apportion.storage.pages import Cursor

QUERY = query_hash("ListCharges", 1, "master-7")


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.text()).map(tuple))
def test_a_cursor_survives_its_token(cursor: Cursor) -> None:
    assert decode_page_token(encode_page_token(QUERY, cursor), QUERY) == cursor


def test_no_token_is_the_first_page() -> None:
    assert decode_page_token("", QUERY) is None


def test_a_token_of_another_query_is_refused() -> None:
    token = encode_page_token(QUERY, (1, "a"))
    with pytest.raises(PageTokenInvalid):
        decode_page_token(token, query_hash("ListCharges", 2, "master-7"))


def test_any_altered_character_is_refused() -> None:
    token = encode_page_token(QUERY, (123_456,))
    for position, character in enumerate(token):
        altered = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        with pytest.raises(PageTokenInvalid):
            decode_page_token(altered, QUERY)


@given(st.text(min_size=1))
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        decode_page_token(token, QUERY)


@pytest.mark.parametrize(("requested", "rows"), [(0, 100), (1, 1), (1_000, 1_000), (10**9, 1_000)])
def test_page_size(requested: int, rows: int) -> None:
    assert page_size(requested) == rows


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_size(-1)
    assert caught.value.violations[0].field == "page_size"
