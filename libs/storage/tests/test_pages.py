from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.errors import InvalidArgument, PageTokenInvalid
from apportion.storage.pages import (
    NEWEST_FIRST,
    Cursor,
    Page,
    decode_page_token,
    encode_page_token,
    page_size,
    query_hash,
)

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


def pages_of(rows: list[int], size: int) -> list[list[int]]:
    """What a client sees that follows the tokens through a list by rising ids."""
    token, pages = "", []
    while True:
        page = Page(size, token, "ListCharges", 1)
        found = [row for row in rows if row > page.after_id][: page.limit]
        shown, token = page.cut(found, lambda row: row)
        pages.append(list(shown))
        if not token:
            return pages


@given(st.lists(st.integers(1, 2**63 - 1), unique=True, max_size=30).map(sorted), st.integers(1, 10))
def test_pages_show_each_row_once_and_no_empty_page_at_the_end(rows: list[int], size: int) -> None:
    pages = pages_of(rows, size)
    assert [row for page in pages for row in page] == rows
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert pages[-1] or not rows


def test_a_list_may_start_at_the_newest_row_or_be_ordered_by_several_columns() -> None:
    assert Page(0, "", "ListTrips", 1, start=NEWEST_FIRST).after_id == 2**63 - 1
    first = Page(1, "", "ListHeads", start=(0, ""))
    shown, token = first.cut([(1, "a"), (1, "b")], lambda row: row)
    assert shown == [(1, "a")]
    assert Page(1, token, "ListHeads", start=(0, "")).cursor == (1, "a")


@pytest.mark.parametrize("cursor", [("a",), (1, 2), ()])
def test_a_cursor_of_another_shape_is_refused(cursor: Cursor) -> None:
    token = encode_page_token(QUERY, cursor)
    with pytest.raises(PageTokenInvalid):
        Page(0, token, "ListCharges", 1, "master-7")
