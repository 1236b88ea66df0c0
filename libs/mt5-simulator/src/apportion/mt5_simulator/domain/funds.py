"""Balance operations: deposits, withdrawals, credits, charges, corrections, bonuses."""

from __future__ import annotations

from apportion.mt5_simulator.codes import (
    BALANCE_ACTIONS,
    COMMENT_LENGTH,
    CREDIT_ACTIONS,
    Reason,
    Refused,
    Retcode,
)
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.records import Deal
from apportion.mt5_simulator.domain.valuation import Valuation

LARGEST_OPERATION = 1_000_000_000
"""In units of the account's currency."""


class Funds:
    def __init__(self, ledger: Ledger, valuation: Valuation) -> None:
        self.ledger = ledger
        self.valuation = valuation

    def change_balance(
        self,
        login: int,
        action: int,
        amount_minor: int,
        comment: str,
        now_ms: int,
        *,
        check_margin: bool = True,
        dealer: int = 0,
    ) -> Deal:
        """Book `amount_minor` (negative: take) on Balance or Credit. Refused: 3 wrong type or nothing to book, 13
        unknown login, 4005 above the limit, 10019 more than there is, or with `check_margin` more than is free."""
        if action not in BALANCE_ACTIONS or amount_minor == 0:
            raise Refused(Retcode.PARAMETERS)
        user = self.ledger.user(login)
        group = self.valuation.groups[user.group]
        if abs(amount_minor) > LARGEST_OPERATION * 10**group.currency_digits:
            raise Refused(Retcode.AMOUNT_LIMIT)
        held = user.credit_minor if action in CREDIT_ACTIONS else user.balance_minor
        if amount_minor < 0 and held + amount_minor < 0:
            raise Refused(Retcode.NO_MONEY)
        if amount_minor < 0 and check_margin and self.valuation.account(user).margin_free_minor + amount_minor < 0:
            raise Refused(Retcode.NO_MONEY)
        if action in CREDIT_ACTIONS:
            user.credit_minor += amount_minor
        else:
            user.balance_minor += amount_minor
        deal = Deal(
            deal=self.ledger.next_deal,
            login=login,
            action=action,
            time_ms=now_ms,
            profit_minor=amount_minor,
            comment=comment[:COMMENT_LENGTH],
            dealer=dealer,
            reason=Reason.DEALER,
        )
        self.ledger.add_deal(deal)
        self.ledger.put_user(user)
        return deal

    def history_minor(self, login: int) -> tuple[int, int]:
        """Balance and credit as the deals of the account give them."""
        balance = credit = 0
        for deal in self.ledger.deals_of(login):
            if deal.action in CREDIT_ACTIONS:
                credit += deal.profit_minor
            else:
                balance += deal.profit_minor + deal.storage_minor + deal.commission_minor
        return balance, credit

    def restore_from_history(self, login: int) -> None:
        user = self.ledger.user(login)
        user.balance_minor, user.credit_minor = self.history_minor(login)
        self.ledger.put_user(user)
