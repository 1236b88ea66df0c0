"""The operator's side of the gRPC services: every stub, with the label and the deadline of each call filled in."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from apportion.api.allocation.v1 import (
    allocations_pb2_grpc,
    distributions_pb2_grpc,
    masters_pb2_grpc,
    statistics_pb2_grpc,
    subscriptions_pb2_grpc,
)
from apportion.api.fees.v1 import calculations_pb2_grpc, terms_pb2_grpc
from apportion.api.platform_groups.v1 import (
    accounts_pb2_grpc,
    deals_pb2_grpc,
    platform_groups_pb2_grpc,
    trading_pb2_grpc,
    trading_servers_pb2_grpc,
    transfers_pb2_grpc,
)
from apportion.api.risk.v1 import limits_pb2_grpc, trips_pb2_grpc
from apportion.rpc import Tls, call_options, open_channel

CALL_SECONDS = 30.0
PAGE_SIZE = 1_000

# Request ids of a scenario are made from its names, so that a repeated set-up changes nothing.
SCENARIO = uuid.UUID("5b1c1a52-8f0f-4b6c-9a44-3b0f7a1d2c66")


class _Page(Protocol):
    next_page_token: str


PageT = TypeVar("PageT", bound=_Page)


def request_id(*names: object) -> str:
    """The id of the write that these names describe: the same names, the same write."""
    return str(uuid.uuid5(SCENARIO, "/".join(str(name) for name in names)))


class Clients:
    """Stubs for one broker, as the peer `operator`. `addresses`: host:port by service name."""

    def __init__(self, addresses: dict[str, str], tls: Tls, label: int) -> None:
        self._label = label
        self._channels = {name: open_channel(address, tls=tls, service=name) for name, address in addresses.items()}
        platform_groups, allocation = self._channels["platform-groups"], self._channels["allocation"]
        fees, risk = self._channels["fees"], self._channels["risk"]
        self.servers = trading_servers_pb2_grpc.TradingServersServiceStub(platform_groups)
        self.groups = platform_groups_pb2_grpc.PlatformGroupsServiceStub(platform_groups)
        self.accounts = accounts_pb2_grpc.AccountsServiceStub(platform_groups)
        self.deals = deals_pb2_grpc.DealsServiceStub(platform_groups)
        self.trading = trading_pb2_grpc.TradingServiceStub(platform_groups)
        self.transfers = transfers_pb2_grpc.TransfersServiceStub(platform_groups)
        self.masters = masters_pb2_grpc.MastersServiceStub(allocation)
        self.subscriptions = subscriptions_pb2_grpc.SubscriptionsServiceStub(allocation)
        self.allocations = allocations_pb2_grpc.AllocationsServiceStub(allocation)
        self.distributions = distributions_pb2_grpc.DistributionsServiceStub(allocation)
        self.statistics = statistics_pb2_grpc.StatisticsServiceStub(allocation)
        self.terms = terms_pb2_grpc.TermsServiceStub(fees)
        self.calculations = calculations_pb2_grpc.CalculationsServiceStub(fees)
        self.limits = limits_pb2_grpc.LimitsServiceStub(risk)
        self.trips = trips_pb2_grpc.TripsServiceStub(risk)

    async def call(self, method: Callable[..., Awaitable[Any]], request: Any, seconds: float = CALL_SECONDS) -> Any:
        """One call with our label and a deadline; raises the service's DomainError."""
        return await method(request, **call_options(self._label, seconds))

    async def pages(self, method: Callable[..., Awaitable[PageT]], request: Any) -> AsyncIterator[PageT]:
        """All pages of a List method."""
        request.page_size = PAGE_SIZE
        while True:
            page: PageT = await self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
