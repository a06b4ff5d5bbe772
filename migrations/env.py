"""Alembic runs this for every command, over the connection that `indexer.store.migrate` has opened."""

from typing import Any

import sqlalchemy as sa
from alembic import context

from schema import SCHEMAS, metadata


def _ours(name: str | None, kind: str, _parents: Any) -> bool:
    return name in SCHEMAS if kind == "schema" else name != "alembic_version"


connection: sa.Connection = context.config.attributes["connection"]
for schema_name in SCHEMAS:
    connection.execute(sa.schema.CreateSchema(schema_name, if_not_exists=True))
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema="chain",
    include_schemas=True,
    include_name=_ours,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
