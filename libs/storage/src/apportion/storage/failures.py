"""What a failure of the database means to a caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from apportion.errors import (
    DatabaseUnavailable,
    DomainError,
    InvalidArgument,
    Overloaded,
    VersionConflict,
    Violation,
)

# Another transaction was in the way; the same work may succeed now.
CONFLICT_STATES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available: lock_timeout passed
    }
)
UNAVAILABLE_STATES = frozenset(
    {
        "25006",  # read_only_sql_transaction: a standby after a failover
        "25P03",  # idle_in_transaction_session_timeout
        "53100",  # disk_full
        "53200",  # out_of_memory
        "53300",  # too_many_connections
        "57014",  # query_canceled: statement_timeout passed
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
    }
)
UNSTORABLE_STATES = frozenset(
    {
        "22021",  # character_not_in_repertoire: NUL in a text
        "22P05",  # untranslatable_character: NUL in JSON
    }
)
CONNECTION_STATE_CLASS = "08"


def database_failure(error: BaseException) -> DomainError | None:
    """The typed error for a failure of the database itself, None for any other, such as a violated constraint.

    Also for texts that it cannot store: InvalidArgument, for no request that reaches a statement checks each of its
    texts for them.
    """
    if isinstance(error, PoolTimeoutError):
        return Overloaded("no database connection came free in time")
    if isinstance(error, ConnectionError | TimeoutError):
        return DatabaseUnavailable()
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error.orig, ConnectionError | TimeoutError):
            return DatabaseUnavailable()
        return _from_state(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _from_state(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError) and "closed" in str(error):
        return DatabaseUnavailable()
    return None


def _from_state(state: str | None) -> DomainError | None:
    if state is None:
        return None
    if state in CONFLICT_STATES:
        return VersionConflict("another transaction was in the way")
    if state in UNAVAILABLE_STATES or state.startswith(CONNECTION_STATE_CLASS):
        return DatabaseUnavailable()
    if state in UNSTORABLE_STATES:
        return InvalidArgument("a text holds a NUL character", violations=(Violation("*", "must not contain NUL"),))
    return None


def violated_constraint(error: IntegrityError | asyncpg.PostgresError) -> str | None:
    """The name of the constraint that refused the row."""
    cause = error.orig.__cause__ if isinstance(error, IntegrityError) and error.orig else error
    name: str | None = getattr(cause, "constraint_name", None)
    return name


@contextmanager
def constraint_errors(errors: Mapping[str, DomainError]) -> Iterator[None]:
    """Turns the violation of a constraint named in `errors` into its DomainError; the transaction is lost anyway."""
    try:
        yield
    except (IntegrityError, asyncpg.IntegrityConstraintViolationError) as error:
        known = errors.get(violated_constraint(error) or "")
        if known is None:
            raise
        raise known from error
