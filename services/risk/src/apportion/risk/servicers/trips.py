"""apportion.api.risk.v1.TripsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.risk.v1 import trips_pb2, trips_pb2_grpc
from apportion.money import INT64_MAX
from apportion.risk import wire
from apportion.risk.operations.get_trip import get_trip
from apportion.risk.operations.list_trips import list_trips
from apportion.rpc import caller
from apportion.storage import decode_page_token, encode_page_token, page_size, query_hash

Context = grpc.aio.ServicerContext[Any, Any]


class TripsServicer(trips_pb2_grpc.TripsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetTrip(  # noqa: N802 (the RPC's name)
        self, request: trips_pb2.GetTripRequest, context: Context
    ) -> trips_pb2.GetTripResponse:
        details = await get_trip(self._engine, caller().label, wire.parse_get_trip(request))
        return trips_pb2.GetTripResponse(trip=wire.render_trip_details(details))

    async def ListTrips(  # noqa: N802
        self, request: trips_pb2.ListTripsRequest, context: Context
    ) -> trips_pb2.ListTripsResponse:
        label, master_id, size = caller().label, wire.parse_list_trips(request), page_size(request.page_size)
        query = query_hash("ListTrips", label, master_id)
        (before,) = decode_page_token(request.page_token, query) or (INT64_MAX,)
        page, last = await list_trips(self._engine, label, master_id, before=int(before), limit=size)
        token = "" if last is None else encode_page_token(query, (last,))
        return trips_pb2.ListTripsResponse(trips=map(wire.render_trip, page), next_page_token=token)
