"""Event tables: one per name of event, with the columns that the design promises."""

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from indexer.networks import NETWORKS
from indexer.networks.codec import Codec
from schema import arbius, iexec
from schema.base import metadata
from tests.support import PAYING

TABLES = {"arbius": arbius.EVENTS, "iexec": iexec.EVENTS}
CODECS = [(name, codec) for name, network in NETWORKS.items() for codec in network.codecs.values()]
FIXED = {
    "chain_id": "BIGINT",
    "block_number": "BIGINT",
    "log_index": "INTEGER",
    "block_hash": "BYTEA",
    "block_time": "TIMESTAMP WITH TIME ZONE",
    "tx_hash": "BYTEA",
    "tx_index": "INTEGER",
    "address": "BYTEA",
}
TYPES = {
    "bytea": "BYTEA",
    "numeric": "NUMERIC(78, 0)",
    "bool": "BOOLEAN",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "text": "TEXT",
    "jsonb": "JSONB",
}


def types(table: Table) -> dict[str, str]:
    return {column.name: column.type.compile(postgresql.dialect()) for column in table.columns}


@pytest.mark.parametrize(("network", "codec"), CODECS, ids=lambda item: item.table if isinstance(item, Codec) else item)
def test_a_codec_fills_its_table(network: str, codec: Codec) -> None:
    table = TABLES[network][codec.table]
    arguments = {name: TYPES[kind] for name, kind in zip(codec.columns, codec.pg_types, strict=True)}
    assert list(types(table).items()) == [*FIXED.items(), *arguments.items()]
    assert [column.name for column in table.primary_key.columns] == ["chain_id", "block_number", "log_index"]
    assert not any(table.c[name].nullable for name in FIXED)


def test_there_are_no_other_tables() -> None:
    for network, tables in TABLES.items():
        assert set(tables) == {codec.table for codec in NETWORKS[network].codecs.values()}
        assert all(metadata.tables[f"{network}.{name}"] is table for name, table in tables.items())


def test_only_what_an_event_may_lack_is_nullable() -> None:
    nullable = {
        f"{network}.{table.name}.{column.name}"
        for network, tables in TABLES.items()
        for table in tables.values()
        for column in table.columns
        if column.nullable
    }
    shared = {
        f"arbius.{table}.{name}" for table in ("fees_paid", "rewards_paid") for name in ("model", "task", "validator")
    }
    texts = {
        "iexec.create_category.name",
        "iexec.create_category.description",
        "iexec.commit_message.message",
        "iexec.function_update.function_signature",
        "iexec.create_workerpool.workerpool_description",
        "iexec.scheduler_notice_boost.params",
    }
    assert nullable == shared | texts | {f"{text}_raw" for text in texts}


def test_at_most_one_index_but_for_payments_and_never_on_what_has_no_bound() -> None:
    for network, tables in TABLES.items():
        for table in tables.values():
            assert len(table.indexes) <= 1 or f"{network}.{table.name}" in PAYING
            for index in table.indexes:
                assert str(index.name).startswith(f"ix_{table.name}_")
                assert len(str(index.name)) <= 63
                for column in index.columns:
                    assert column.name not in ("results", "calldata", "digest")
                    assert types(table)[column.name] in ("BYTEA", "NUMERIC(78, 0)", "TIMESTAMP WITH TIME ZONE")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("arbius.task_submitted", "id"),
        ("arbius.solution_submitted", "task"),
        ("arbius.fees_paid", "task"),
        ("arbius.contestation_vote_finish", "id"),
        ("arbius.signal_commitment", "commitment"),
        ("iexec.task_contribute", "taskid"),
        ("iexec.orders_matched", "dealid"),
        ("iexec.reward", "ref"),
        ("iexec.registry_transfer", "token_id"),
        ("iexec.closed_app_order", "app_hash"),
    ],
)
def test_the_index_is_on_the_id(name: str, column: str) -> None:
    table = metadata.tables[name]
    index = next(index for index in table.indexes if index.name == f"ix_{table.name}_{column}")
    assert [indexed.name for indexed in index.columns] == [column]


def test_the_sql_of_a_table() -> None:
    table = metadata.tables["iexec.registry_transfer"]
    sql = str(CreateTable(table).compile(dialect=postgresql.dialect()))
    assert "CREATE TABLE iexec.registry_transfer" in sql
    assert '"from" BYTEA NOT NULL' in sql
    assert "token_id NUMERIC(78, 0) NOT NULL" in sql
    assert "CONSTRAINT pk_registry_transfer PRIMARY KEY (chain_id, block_number, log_index)" in sql
    (index,) = table.indexes
    made = str(CreateIndex(index).compile(dialect=postgresql.dialect()))
    assert made == "CREATE INDEX ix_registry_transfer_token_id ON iexec.registry_transfer (token_id)"
    assert table.comment is not None
    assert table.comment.startswith("Transfer(address,address,uint256), emitted by: appregistry, datasetregistry")


def test_units_stand_in_comments() -> None:
    assert metadata.tables["iexec.lock"].c.amount.comment == "nRLC (9 decimals)"
    assert metadata.tables["arbius.task_submitted"].c.fee.comment is not None
    assert metadata.tables["arbius.min_claim_solution_time_changed"].c.amount.comment == "seconds"
    for module in (arbius, iexec):
        for name in module._UNITS:
            table, _, column = name.rpartition(".")
            found = [t for t in module.EVENTS.values() if t.name == table or not table]
            assert any(column in t.c for t in found), f"{name} is the unit of nothing"
