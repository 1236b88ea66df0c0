"""Areas: exact, plain, and nothing that two readers could take for two hosts."""

from __future__ import annotations

import pytest

from apportion.auth_gateway.domain.areas import origin_of, parse_area, parse_origin, sign_in_url
from apportion.auth_gateway.errors import AreaInvalid


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("http://Invest.Broker.example", "http://invest.broker.example"),
        ("https://broker.example:443/invest/", "https://broker.example/invest"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("HTTPS://[::1]:8443/a", "https://[::1]:8443/a"),
    ],
)
def test_areas_are_stored_in_one_form(text: str, stored: str) -> None:
    assert parse_area(text) == stored
    assert parse_area(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "", "broker.example", "//broker.example", "ftp://broker.example", "javascript:alert(1)", "http://",
        "http://user@broker.example", "http://broker.example?x", "http://broker.example#x", "http://broker.example\\x",
        "http://broker.example/%2e%2e", "http://broker.example/../x", "http://broker.example//x", "http://a b.example",
        "http://broker.example:99999", "http://broker.example:x", "http://bröker.example", "http://[::1",
        "http://" + "x" * 600, "http://broker.example\r\nX: 1",
    ],
)  # fmt: skip
def test_what_is_no_area(text: str) -> None:
    with pytest.raises(AreaInvalid):
        parse_area(text)


def test_origins() -> None:
    assert origin_of("https://broker.example:8443/invest") == "https://broker.example:8443"
    assert parse_origin("https://Broker.example/") == "https://broker.example"
    with pytest.raises(AreaInvalid):
        parse_origin("https://broker.example/invest")


def test_the_published_form_of_a_sign_in() -> None:
    url = sign_in_url("http://invest.broker.example", "70c43e642299600f82f15afdd3583291", "ru-ru")
    assert url == "http://invest.broker.example/#/auth?token=70c43e642299600f82f15afdd3583291&lang=ru-ru"
