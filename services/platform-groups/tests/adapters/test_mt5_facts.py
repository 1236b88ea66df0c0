"""Whose a position is."""

from __future__ import annotations

import pytest

from apportion.mt5.positions import Position
from apportion.platform_groups.adapters.mt5_facts import CLIENT_REASONS, position_of
from apportion.platform_groups.domain.tokens import order_of, order_token

DEALER = 2


@pytest.mark.parametrize(("reason", "order_id"), [(DEALER, 7), *((reason, 0) for reason in sorted(CLIENT_REASONS))])
def test_a_position_made_by_its_owner_carries_no_token(reason: int, order_id: int) -> None:
    """What a trader writes into a comment settles no order."""
    position = Position(position=1, login=1001, symbol="EURUSD", reason=reason, comment=order_token(7))
    assert order_of(position_of(position).comment) == order_id
