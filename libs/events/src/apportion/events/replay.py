"""How a consumer gets events without Redis: the owner of the outbox serves them again by gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc.aio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1 import events_pb2, events_pb2_grpc
from apportion.errors import EventsMissing
from apportion.events.received_event import ReceivedEvent, received
from apportion.rpc import SUITE_LABEL, Problems, call_options, to_timestamp
from apportion.storage import PARTITIONS, Page, page_size, transaction

REPLAY_SECONDS = 5.0
MAX_PAGE_BYTES = 512 * 1024
HEADS_PAGE_SIZE = 1_000
NAME_LENGTH = 200

EVENT_COLUMNS = "event_id, label, aggregate_type, aggregate_id, sequence, partition, type, occurred_time, payload"

# The running size ends a page before it passes the limit, and never before its first event.
REPLAY = text(
    f"""
    SELECT {EVENT_COLUMNS} FROM (
        SELECT *, sum(octet_length(payload)) OVER (ORDER BY sequence) AS size
        FROM (
            SELECT {EVENT_COLUMNS} FROM outbox
            WHERE label = :label AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id
              AND sequence >= :from_sequence
            ORDER BY sequence LIMIT :page_size
        ) AS page
    ) AS sized
    WHERE size <= :max_bytes OR size = octet_length(payload)
    ORDER BY sequence
    """
)

HEADS = text(
    """
    SELECT label, aggregate_id, sequence FROM aggregates
    WHERE aggregate_type = :aggregate_type AND partition = :partition
      AND (label, aggregate_id) > (:after_label, :after_id)
    ORDER BY label, aggregate_id LIMIT :limit
    """
)


# In one statement, for an event may be written between two.
IS_GONE = text(
    """
    SELECT 1 FROM aggregates AS a
    WHERE a.label = :label AND a.aggregate_type = :aggregate_type AND a.aggregate_id = :aggregate_id
      AND a.sequence >= :from_sequence
      AND NOT EXISTS (
          SELECT FROM outbox AS o
          WHERE o.label = a.label AND o.aggregate_type = a.aggregate_type AND o.aggregate_id = a.aggregate_id
            AND o.sequence = :from_sequence
      )
    """
)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event of one aggregate."""

    label: int
    aggregate_id: str
    sequence: int


class ReplayPort(Protocol):
    """The owner of a topic, as a consumer sees it. Raises DomainErrors of `apportion.rpc`."""

    async def events(
        self, label: int, aggregate_type: str, aggregate_id: str, from_sequence: int
    ) -> list[ReceivedEvent]:
        """The next events from a number on; empty when there are none. Raises EventsMissing when that one is gone."""
        ...

    def heads(self, aggregate_type: str, partition: int) -> AsyncIterator[list[Head]]:
        """The newest number of each aggregate of a partition, page by page."""
        ...


class ReplayServicer(events_pb2_grpc.ReplayServiceServicer):
    """Serves this service's outbox. Events of all labels: only for peers that consume them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ReplayEvents(  # noqa: N802  # the name of the RPC
        self, request: events_pb2.ReplayEventsRequest, context: Any
    ) -> events_pb2.ReplayEventsResponse:
        problems = Problems()
        problems.positive(request.label, "label")
        problems.text(request.aggregate_type, "aggregate_type", longest=NAME_LENGTH)
        problems.text(request.aggregate_id, "aggregate_id", longest=NAME_LENGTH)
        problems.positive(request.from_sequence, "from_sequence")
        problems.raise_if_any()
        parameters = {
            "label": request.label,
            "aggregate_type": request.aggregate_type,
            "aggregate_id": request.aggregate_id,
            "from_sequence": request.from_sequence,
            "page_size": page_size(request.page_size),
            "max_bytes": MAX_PAGE_BYTES,
        }
        async with transaction(self._engine) as tx:
            rows = (await tx.execute(REPLAY, parameters)).mappings().all()
            starts = bool(rows) and rows[0]["sequence"] == request.from_sequence
            if not starts and (await tx.execute(IS_GONE, parameters)).first() is not None:
                raise EventsMissing(
                    f"event {request.from_sequence} of {request.aggregate_type}/{request.aggregate_id} is gone",
                    sequence=request.from_sequence,
                )
        return events_pb2.ReplayEventsResponse(events=[event_message(row) for row in rows])

    async def ListHeads(  # noqa: N802  # the name of the RPC
        self, request: events_pb2.ListHeadsRequest, context: Any
    ) -> events_pb2.ListHeadsResponse:
        problems = Problems()
        problems.text(request.aggregate_type, "aggregate_type", longest=NAME_LENGTH)
        problems.within(request.partition, 0, PARTITIONS - 1, "partition")
        problems.raise_if_any()
        query = ("ListHeads", request.aggregate_type, request.partition)
        page = Page(request.page_size, request.page_token, *query, start=(0, ""))
        after_label, after_id = page.cursor
        parameters = {
            "aggregate_type": request.aggregate_type,
            "partition": request.partition,
            "after_label": after_label,
            "after_id": after_id,
            "limit": page.limit,
        }
        async with transaction(self._engine) as tx:
            rows = (await tx.execute(HEADS, parameters)).all()
        shown, token = page.cut(rows, lambda row: (row.label, row.aggregate_id))
        return events_pb2.ListHeadsResponse(
            labels=[row.label for row in shown],
            aggregate_ids=[row.aggregate_id for row in shown],
            sequences=[row.sequence for row in shown],
            next_page_token=token,
        )


def event_message(row: Any) -> events_pb2.Event:
    """The wire form of an outbox row: a mapping of its columns, as SQLAlchemy and asyncpg give it."""
    return events_pb2.Event(
        event_id=str(row["event_id"]),
        label=row["label"],
        aggregate_type=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        sequence=row["sequence"],
        type=row["type"],
        occurred_time=to_timestamp(row["occurred_time"]),
        partition=row["partition"],
        payload=row["payload"],
    )


def replay_port(channel: grpc.aio.Channel) -> ReplayPort:
    """The owner of one or more topics behind a channel of `apportion.rpc.open_channel`."""
    return _ReplayClient(events_pb2_grpc.ReplayServiceStub(channel))


class _ReplayClient:
    def __init__(self, stub: events_pb2_grpc.ReplayServiceStub) -> None:
        self._stub = stub

    async def events(
        self, label: int, aggregate_type: str, aggregate_id: str, from_sequence: int
    ) -> list[ReceivedEvent]:
        request = events_pb2.ReplayEventsRequest(
            label=label, aggregate_type=aggregate_type, aggregate_id=aggregate_id, from_sequence=from_sequence
        )
        response = await self._stub.ReplayEvents(request, **call_options(SUITE_LABEL, REPLAY_SECONDS))
        return [received(message) for message in response.events]

    async def heads(self, aggregate_type: str, partition: int) -> AsyncIterator[list[Head]]:
        token = ""
        while True:
            request = events_pb2.ListHeadsRequest(
                aggregate_type=aggregate_type, partition=partition, page_size=HEADS_PAGE_SIZE, page_token=token
            )
            response = await self._stub.ListHeads(request, **call_options(SUITE_LABEL, REPLAY_SECONDS))
            yield [
                Head(label, aggregate_id, sequence)
                for label, aggregate_id, sequence in zip(
                    response.labels, response.aggregate_ids, response.sequences, strict=True
                )
            ]
            token = response.next_page_token
            if not token:
                return
