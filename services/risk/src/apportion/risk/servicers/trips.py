"""apportion.api.risk.v1.TripsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.risk.v1 import trips_pb2, trips_pb2_grpc
from apportion.risk import wire
from apportion.risk.operations.get_trip import get_trip
from apportion.risk.operations.list_trips import list_trips
from apportion.rpc import caller, parse_filters, parse_id
from apportion.storage import NEWEST_FIRST, Page

Context = grpc.aio.ServicerContext[Any, Any]


class TripsServicer(trips_pb2_grpc.TripsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetTrip(  # noqa: N802 (the RPC's name)
        self, request: trips_pb2.GetTripRequest, context: Context
    ) -> trips_pb2.GetTripResponse:
        details = await get_trip(self._engine, caller().label, parse_id(request.trip_id, "trip_id"))
        return trips_pb2.GetTripResponse(trip=wire.render_trip_details(details))

    async def ListTrips(  # noqa: N802
        self, request: trips_pb2.ListTripsRequest, context: Context
    ) -> trips_pb2.ListTripsResponse:
        label, master_id = caller().label, request.master_id
        parse_filters(master_id=master_id)
        page = Page(request.page_size, request.page_token, "ListTrips", label, master_id, start=NEWEST_FIRST)
        found = await list_trips(self._engine, label, master_id, before=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda trip: trip.trip_id)
        return trips_pb2.ListTripsResponse(trips=map(wire.render_trip, shown), next_page_token=token)
