"""Whether migrations make what the tables of a service declare."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, MetaData, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.storage import SchemaMismatch

VERSION_TABLE = "alembic_version"


async def check_schema(engine: AsyncEngine, metadata: MetaData) -> None:
    """Raises SchemaMismatch unless tables, columns, types, nullability, keys, indexes and the names of check
    constraints in the database equal those in `metadata`. Triggers, exclusion constraints and the texts of checks are
    not compared.
    """
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences, metadata)
    if differences:
        raise SchemaMismatch("; ".join(differences))


def _differences(connection: Connection, metadata: MetaData) -> list[str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": _is_ours})
    found = [_describe(difference) for difference in compare_metadata(context, metadata)]
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if not inspector.has_table(table.name, schema=table.schema):
            continue
        declared = {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
        live = {str(check["name"]) for check in inspector.get_check_constraints(table.name, schema=table.schema)}
        found += [f"missing check {table.name}.{name}" for name in sorted(declared - live)]
        found += [f"undeclared check {table.name}.{name}" for name in sorted(live - declared)]
    return found


def _is_ours(_item: Any, name: str | None, type_: str, _reflected: bool, _compare_to: Any) -> bool:
    return not (type_ == "table" and name == VERSION_TABLE)


def _describe(difference: Any) -> str:
    """Alembic says what would make the database equal to the metadata: `add_index` means that it is missing."""
    if isinstance(difference, list):
        return "; ".join(_describe(part) for part in difference)
    return " ".join(str(part) for part in difference if part is not None and not isinstance(part, dict))
