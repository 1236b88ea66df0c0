"""Opening, changing and deleting trading accounts."""

from __future__ import annotations

import hashlib

from apportion.mt5_simulator.codes import DEFAULT_RIGHTS, Refused, Retcode
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.records import User
from apportion.mt5_simulator.domain.valuation import Valuation

LARGEST_LEVERAGE = 500
_CLASSES = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())


class Accounts:
    def __init__(self, ledger: Ledger, valuation: Valuation) -> None:
        self.ledger = ledger
        self.valuation = valuation

    def add(
        self,
        *,
        group: str,
        name: str,
        passwords: dict[str, str],
        now_ms: int,
        login: int = 0,
        leverage: int = 0,
        rights: int = DEFAULT_RIGHTS,
        profile: dict[str, str] | None = None,
    ) -> User:
        """Open an account. `passwords` has `main` and `investor`. Refused: 3 bad group, name or leverage, 3004 the
        login exists, 3006 a password is missing or too simple. Login 0: the server takes the next one."""
        settings = self.valuation.groups.get(group)
        if settings is None or not name or not 0 <= leverage <= LARGEST_LEVERAGE or login < 0:
            raise Refused(Retcode.PARAMETERS)
        if login in self.ledger.users:
            raise Refused(Retcode.LOGIN_EXISTS)
        if not all(is_complex(passwords.get(kind, "")) for kind in ("main", "investor")):
            raise Refused(Retcode.BAD_PASSWORD)
        login = login or self.ledger.next_login
        user = User(
            login=login,
            group=group,
            name=name,
            leverage=leverage or settings.leverage,
            registration_ms=now_ms,
            rights=rights,
            profile=profile or {},
            passwords={kind: _digest(login, password) for kind, password in passwords.items()},
        )
        self.ledger.put_user(user)
        return user

    def move(self, user: User, group: str) -> None:
        """Move to another group of the same currency; ignored when there is no such group, as the server does."""
        settings = self.valuation.groups.get(group)
        if settings is None or group == user.group:
            return
        if settings.currency != self.valuation.groups[user.group].currency:
            raise Refused(Retcode.OTHER_CURRENCY)
        former, user.group = user.group, group
        self.ledger.put_user(user, former_group=former)

    def delete(self, login: int) -> None:
        user = self.ledger.user(login)
        if self.ledger.positions_of(login):
            raise Refused(Retcode.HAS_POSITIONS)
        self.ledger.remove_user(user)

    def check_password(self, login: int, kind: str, password: str) -> None:
        """Refused BAD_PASSWORD unless it is the password of that kind."""
        if self.ledger.user(login).passwords.get(kind) != _digest(login, password):
            raise Refused(Retcode.BAD_PASSWORD)

    def change_password(self, login: int, kind: str, password: str) -> None:
        if not is_complex(password):
            raise Refused(Retcode.BAD_PASSWORD)
        user = self.ledger.user(login)
        user.passwords[kind] = _digest(login, password)
        self.ledger.put_user(user)


def is_complex(password: str) -> bool:
    """8–16 characters with a small letter, a capital, a digit and a special one."""
    return 8 <= len(password) <= 16 and all(any(map(kind, password)) for kind in _CLASSES)


def _digest(login: int, password: str) -> str:
    return hashlib.sha256(f"{login}:{password}".encode()).hexdigest()
