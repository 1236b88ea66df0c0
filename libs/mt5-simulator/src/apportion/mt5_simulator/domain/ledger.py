"""All records with their indexes, the tickets, and the record of what changed since it was last saved."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator

from apportion.mt5_simulator.codes import Refused, Retcode
from apportion.mt5_simulator.domain.guards import Guards
from apportion.mt5_simulator.domain.records import Deal, Order, Position, User


class Changes:
    """Keys of records to write or delete in the next save."""

    def __init__(self) -> None:
        self.users: dict[int, User | None] = {}
        self.positions: dict[int, Position | None] = {}
        self.orders: dict[int, Order] = {}
        self.deals: dict[int, Deal] = {}

    def __bool__(self) -> bool:
        return bool(self.users or self.positions or self.orders or self.deals)


class Ledger:
    def __init__(self, first_login: int) -> None:
        self.users: dict[int, User] = {}
        self.positions: dict[int, Position] = {}
        self.orders: dict[int, Order] = {}
        self.deals: dict[int, Deal] = {}
        self.next_login = first_login
        self.next_order = 1
        self.next_deal = 1
        self.active: set[int] = set()
        """Logins with trade activity since the server's start: only they, and holders of positions, have a state."""
        self.changed: Changes = Changes()
        self._logins_by_group: defaultdict[str, dict[int, None]] = defaultdict(dict)
        self._positions_by_login: defaultdict[int, dict[int, Position]] = defaultdict(dict)
        self.guards = Guards()
        self._orders_by_login: defaultdict[int, list[Order]] = defaultdict(list)
        self._deals_by_login: defaultdict[int, list[Deal]] = defaultdict(list)
        self._deal_log: list[Deal] = []
        self._deal_peaks: list[int] = []

    def take_changes(self) -> Changes:
        changes, self.changed = self.changed, Changes()
        return changes

    def restore(
        self, users: Iterable[User], positions: Iterable[Position], orders: Iterable[Order], deals: Iterable[Deal]
    ) -> None:
        """Fill an empty ledger from storage. Orders and deals come in the order of their tickets."""
        for user in users:
            self.put_user(user)
        for order in orders:
            self.add_order(order)
        for position in positions:
            self.put_position(position)
        for deal in deals:
            self.add_deal(deal)
        self.active.clear()
        self.changed = Changes()

    # Users.

    def user(self, login: int) -> User:
        """Refused NOT_FOUND for an unknown login."""
        try:
            return self.users[login]
        except KeyError:
            raise Refused(Retcode.NOT_FOUND) from None

    def put_user(self, user: User, *, former_group: str | None = None) -> None:
        if former_group is not None and former_group != user.group:
            self._logins_by_group[former_group].pop(user.login, None)
        self.users[user.login] = user
        self._logins_by_group[user.group][user.login] = None
        self.next_login = max(self.next_login, user.login + 1)
        self.changed.users[user.login] = user

    def remove_user(self, user: User) -> None:
        del self.users[user.login]
        self._logins_by_group[user.group].pop(user.login, None)
        self.active.discard(user.login)
        self.changed.users[user.login] = None

    def logins_in(self, groups: Iterable[str]) -> list[int]:
        return [login for group in groups for login in self._logins_by_group[group]]

    # Positions.

    def positions_of(self, login: int) -> list[Position]:
        held = self._positions_by_login.get(login)
        return list(held.values()) if held else []

    def has_state(self, login: int) -> bool:
        return login in self.active or bool(self._positions_by_login.get(login))

    def put_position(self, position: Position) -> None:
        self.positions[position.position] = position
        self._positions_by_login[position.login][position.position] = position
        self.guards.put(position)
        self.active.add(position.login)
        self.changed.positions[position.position] = position

    def remove_position(self, position: Position) -> None:
        del self.positions[position.position]
        del self._positions_by_login[position.login][position.position]
        self.guards.remove(position)
        self.changed.positions[position.position] = None

    # Orders and deals.

    def add_order(self, order: Order) -> None:
        self.orders[order.order] = order
        self._orders_by_login[order.login].append(order)
        self.next_order = max(self.next_order, order.order + 1)
        self.changed.orders[order.order] = order

    def add_deal(self, deal: Deal) -> None:
        self.deals[deal.deal] = deal
        self._deals_by_login[deal.login].append(deal)
        self._deal_log.append(deal)
        # Server time repeats an hour in autumn; the running peak stays sorted and so can be searched.
        self._deal_peaks.append(max(deal.time_ms, self._deal_peaks[-1] if self._deal_peaks else deal.time_ms))
        self.next_deal = max(self.next_deal, deal.deal + 1)
        self.active.add(deal.login)
        self.changed.deals[deal.deal] = deal

    def orders_of(self, login: int) -> list[Order]:
        return self._orders_by_login.get(login, [])

    def deals_of(self, login: int) -> list[Deal]:
        return self._deals_by_login.get(login, [])

    def deals_between(self, from_ms: int, to_ms: int) -> Iterator[Deal]:
        """Deals of all accounts with from ≤ time ≤ to."""
        for index in range(bisect_left(self._deal_peaks, from_ms), len(self._deal_log)):
            deal = self._deal_log[index]
            if from_ms <= deal.time_ms <= to_ms:
                yield deal
