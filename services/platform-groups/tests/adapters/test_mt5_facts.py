"""Whose a position or a deal is."""

from __future__ import annotations

import pytest

from apportion.mt5.deals import Deal
from apportion.mt5.positions import Position
from apportion.platform_groups.adapters.mt5_facts import CLIENT_REASONS, deal_of, position_of
from apportion.platform_groups.domain.tokens import order_of, order_token

DEALER, EXTERNAL_CLIENT, EXTERNAL_SERVICE = 2, 7, 14


@pytest.mark.parametrize(("reason", "order_id"), [(DEALER, 7), *((reason, 0) for reason in sorted(CLIENT_REASONS))])
def test_a_position_made_by_its_owner_carries_no_token(reason: int, order_id: int) -> None:
    """What a trader writes into a comment settles no order."""
    position = Position(position=1, login=1001, symbol="EURUSD", reason=reason, comment=order_token(7))
    assert order_of(position_of(position).comment) == order_id


@pytest.mark.parametrize(
    ("reason", "action", "by_client"),
    [
        (DEALER, 0, False),
        (EXTERNAL_CLIENT, 0, True),
        (EXTERNAL_CLIENT, 1, True),
        (EXTERNAL_SERVICE, 0, False),
        (EXTERNAL_CLIENT, 2, False),
    ],
)
def test_a_trade_that_came_from_outside_is_its_owners_where_a_client_gave_it(
    reason: int, action: int, by_client: bool
) -> None:
    deal = Deal(deal=1, login=1001, symbol="EURUSD", action=action, reason=reason)
    assert deal_of(deal).by_client is by_client
