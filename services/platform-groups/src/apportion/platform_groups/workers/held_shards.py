"""The shards of one trading server that this process may write to now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from apportion.platform_groups.domain.shards import shard_of_key
from apportion.storage.leases import Lease


class HeldShards:
    """`is_valid` asks the keeper's local clock: cheap enough for every single write."""

    def __init__(self, server_id: int, is_valid: Callable[[Lease], bool]) -> None:
        self.server_id = server_id
        self._is_valid = is_valid
        self._leases: dict[int, Lease] = {}

    def add(self, lease: Lease) -> None:
        self._leases[shard_of_key(lease.key)] = lease

    def remove(self, lease: Lease) -> None:
        self._leases.pop(shard_of_key(lease.key), None)

    def leases(self) -> list[Lease]:
        """Those that stand by the local clock."""
        return [lease for lease in self._leases.values() if self._is_valid(lease)]

    def is_held(self, shard: int, epoch: int) -> bool:
        lease = self._leases.get(shard)
        return lease is not None and lease.epoch == epoch and self._is_valid(lease)


class AllShards:
    """The shards of one server as a whole, dealt out to its lanes."""

    def __init__(self, parts: Iterable[HeldShards]) -> None:
        self._parts = list(parts)

    def part_of(self, lease: Lease) -> HeldShards:
        return self._parts[shard_of_key(lease.key) % len(self._parts)]

    def shards(self) -> list[int]:
        return [shard_of_key(lease.key) for lease in self.leases()]

    def leases(self) -> list[Lease]:
        return [lease for part in self._parts for lease in part.leases()]

    def is_held(self, lease: Lease) -> bool:
        """Asked right before a write."""
        return self.part_of(lease).is_held(shard_of_key(lease.key), lease.epoch)
