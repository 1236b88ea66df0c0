"""What return codes mean for what was asked for: which say that nothing was done, and which say nothing."""

from __future__ import annotations

import pytest

from apportion import mt5
from apportion.mt5 import Confirmation
from apportion.platform_groups.adapters.mt5_answers import answer_of, translated
from apportion.platform_groups.domain.orders import AnswerKind
from apportion.platform_groups.domain.server_facts import OutcomeUnknown, ServerRefused


@pytest.mark.parametrize("retcode", [2, 7, 9, 10, 15, 10012, 10031])
def test_a_result_that_tells_of_a_failure_on_the_way_proves_nothing(retcode: int) -> None:
    assert answer_of(Confirmation(retcode)).kind is AnswerKind.LOST


@pytest.mark.parametrize(("retcode", "reason"), [(11, "NO_CONNECTION"), (10004, "REQUOTE"), (10018, "MARKET_CLOSED")])
def test_a_refusal_for_now(retcode: int, reason: str) -> None:
    answer = answer_of(Confirmation(retcode))
    assert (answer.kind, answer.reason) == (AnswerKind.POSTPONED, reason)
    with pytest.raises(ServerRefused) as refused, translated():
        raise mt5.Refused("trade/balance", retcode)
    assert refused.value.temporary


def test_doubt_stays_doubt() -> None:
    with pytest.raises(OutcomeUnknown), translated():
        raise mt5.OutcomeUnknown("trade/balance: TIMEOUT")
