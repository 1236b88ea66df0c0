"""accounts.get: the user's wallet, or one of the accounts that belong to it."""

from __future__ import annotations

from apportion.auth_gateway.domain.reads import Account
from apportion.auth_gateway.domain.tokens import Identity
from apportion.auth_gateway.operations.ports import Accounts
from apportion.errors import NotFound


async def get_account(accounts: Accounts, user: Identity, account_id: int | None) -> Account:
    """None asks for the wallet. Raises NotFound for what does not exist and for what belongs to somebody else."""
    wanted = user.wallet_account_id if account_id is None else account_id
    account = await accounts.get_account(user.label, wanted)
    if account.wallet_account_id != user.wallet_account_id:
        raise NotFound("account", wanted)
    return account
