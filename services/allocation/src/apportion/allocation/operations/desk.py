"""What a decision is made with, kept warm between decisions."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.alignment import Alignment, align
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.retries import Retries
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.operations.ports import Rates, States, Symbols
from apportion.allocation.storage.subscription_sets import load_set, make_set

KEPT_SETS = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Times that decisions depend on, by our own clock where nothing else is said."""

    stale_seconds: float
    """An account state older than this is unknown."""
    states_seconds: float
    """A decision waits this long for account states and prices, from when its deal was read."""
    open_seconds: float
    """Orders of an open must be sent this long after its decision."""
    deal_seconds: float
    """A master's deal that is older, by its server's clock, is not followed any more."""
    retries: Retries


@dataclass
class Desk:
    """Symbols, account states and the subscription columns of the masters that trade."""

    symbols: Symbols
    states: States
    rates: Rates
    limits: Limits
    trading_servers: dict[tuple[int, int], int] = field(default_factory=dict)
    """By (label, master): where he trades, which never changes."""
    _sets: OrderedDict[int, SubscriptionSet] = field(default_factory=OrderedDict)
    _alignments: dict[int, Alignment] = field(default_factory=dict)

    async def subscriptions(self, tx: AsyncConnection, master: Master) -> SubscriptionSet:
        """The set of the master's version, from memory or the database; the master's row must be locked."""
        if (kept := self.kept_subscriptions(master)) is not None:
            return kept
        stored = await load_set(tx, master.master_id, master.set_version)
        return stored or await make_set(tx, master.master_id, master.set_version)

    def kept_subscriptions(self, master: Master) -> SubscriptionSet | None:
        """The set of the master's version, when it is in memory: it never changes, so nothing must be locked."""
        kept = self._sets.get(master.master_id)
        return kept if kept is not None and kept.set_version == master.set_version else None

    def remember(self, subscriptions: SubscriptionSet) -> None:
        """Keep a set for the next decision. Only after the commit: what was rolled back is not stored."""
        self._sets[subscriptions.master_id] = subscriptions
        self._sets.move_to_end(subscriptions.master_id)
        if len(self._sets) > KEPT_SETS:
            forgotten, _ = self._sets.popitem(last=False)
            self._alignments.pop(forgotten, None)

    async def fresh_states(self, trading_server_id: int, now: datetime) -> AccountStates | None:
        """None where nothing was heard of the server for `stale_seconds`."""
        states = await self.states.newest(trading_server_id)
        if states is None or (now - states.observed_time).total_seconds() > self.limits.stale_seconds:
            return None
        return states

    async def hear(self, label: int, trading_server_id: int, now: datetime, account_id: int = 0) -> None:
        """Ask for account states where none are fresh, or an account's is not among them: not within a transaction."""
        states = await self.fresh_states(trading_server_id, now)
        if states is None or (account_id and account_id not in states.account_ids):
            await self.states.ask(label, trading_server_id)

    def aligned(self, states: AccountStates, subscriptions: SubscriptionSet) -> Alignment:
        """Where the subscriptions' accounts stand among those of their server; kept while neither changes."""
        alignment = self._alignments.get(subscriptions.master_id)
        if alignment is None or not alignment.fits(states.account_ids, subscriptions.account_ids):
            alignment = align(states.account_ids, subscriptions.account_ids)
            self._alignments[subscriptions.master_id] = alignment
        return alignment
