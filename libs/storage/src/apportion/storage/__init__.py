"""PostgreSQL: engine, transactions, request ids, outbox, leases, pages of lists, migrations."""

from __future__ import annotations

from apportion.runtime.context import RequestKey
from apportion.storage.clock_watch import ClockWatch
from apportion.storage.copy import copy_rows, fetch_arrays
from apportion.storage.database import housekeeping, open_database
from apportion.storage.engine import DatabaseNotDurable, check_durability, create_engine, ping
from apportion.storage.failures import constraint_errors, database_failure, violated_constraint
from apportion.storage.infrastructure import create_infrastructure, infrastructure_tables
from apportion.storage.outbox import (
    PARTITIONS,
    EventTooLarge,
    NewEvent,
    append_event,
    event_arguments,
    event_clause,
    partition_of,
)
from apportion.storage.pages import NEWEST_FIRST, Page, page_size
from apportion.storage.purge import Expiry
from apportion.storage.reading import read_arrays
from apportion.storage.request_ids import claim_request, store_answer
from apportion.storage.schema import SchemaMismatch, check_version, migrate, newest_version, schema_version
from apportion.storage.storable import storable
from apportion.storage.transaction import transaction

__all__ = [
    "NEWEST_FIRST",
    "PARTITIONS",
    "ClockWatch",
    "DatabaseNotDurable",
    "EventTooLarge",
    "Expiry",
    "NewEvent",
    "Page",
    "RequestKey",
    "SchemaMismatch",
    "append_event",
    "check_durability",
    "check_version",
    "claim_request",
    "constraint_errors",
    "copy_rows",
    "create_engine",
    "create_infrastructure",
    "database_failure",
    "event_arguments",
    "event_clause",
    "fetch_arrays",
    "housekeeping",
    "infrastructure_tables",
    "migrate",
    "newest_version",
    "open_database",
    "page_size",
    "partition_of",
    "ping",
    "read_arrays",
    "schema_version",
    "storable",
    "store_answer",
    "transaction",
    "violated_constraint",
]
