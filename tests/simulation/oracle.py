"""What the tables must hold, told by a brute-force index of the true chain, and the comparison by EXCEPT both ways.

Event rows are decoded here by eth-abi from the logs of the final chain. Entities are held against those of a second
chain in the same database, which an honest provider served and which was read in one go.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg
from eth_abi.exceptions import DecodingError
from psycopg import sql

from tests.simulation.abi import ARBIUS, IEXEC, REGISTRY, WORKERPOOL, Event
from tests.simulation.lives import APPS, DATASETS, ENGINE, HUB, NOBODY, POOLS
from tests.simulation.world import Block, Log

UNKNOWN = "chain.unknown_logs"
Row = dict[str, Any]
SCHEMAS = ["chain", "arbius", "iexec", "analytics", "work"]


class Oracle:
    """A brute-force indexer: from blocks to the rows that each table must hold."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._events: dict[bytes, dict[tuple[bytes, int], Event]] = {}
        if "arbius" in networks:
            self._events[ENGINE] = _by_topics(ARBIUS.values())
        if "iexec" in networks:
            self._events[HUB] = _by_topics(IEXEC.values())
            self._events |= dict.fromkeys((APPS, DATASETS, POOLS), _by_topics(REGISTRY.values()))
        self._pools = _by_topics(WORKERPOOL.values())

    def rows(self, chain: Iterable[Block], chain_id: int) -> dict[str, list[Row]]:
        """Table -> rows. A workerpool is read from the block on in which its token was minted."""
        found: dict[str, list[Row]] = {}
        events = dict(self._events)
        for block in chain:
            for log in block.logs:
                if log.address == POOLS and POOLS in events and _is_mint(log):
                    events.setdefault(log.topics[3][-20:], self._pools)
            for log in block.logs:
                if log.address in events:
                    table, row = _row(log, events[log.address], chain_id)
                    found.setdefault(table, []).append(row)
        return found


def _is_mint(log: Log) -> bool:
    mint = REGISTRY["Transfer"]
    return len(log.topics) == 4 and log.topics[0] == mint.topic0 and log.topics[1][-20:] == NOBODY


def _by_topics(events: Iterable[Event]) -> dict[tuple[bytes, int], Event]:
    return {(event.topic0, 1 + sum(field.indexed for field in event.fields)): event for event in events}


def _row(log: Log, events: dict[tuple[bytes, int], Event], chain_id: int) -> tuple[str, Row]:
    row: Row = {
        "chain_id": chain_id, "block_number": log.owner.number, "log_index": log.index,
        "block_hash": log.owner.hash, "block_time": datetime.fromtimestamp(log.owner.timestamp, UTC),
        "tx_hash": log.tx_hash, "tx_index": log.tx_index, "address": log.address,
    }  # fmt: skip
    event = events.get((log.topics[0] if log.topics else b"", len(log.topics)))
    if event is not None:
        try:
            return event.table, row | event.columns(log.topics, log.data)
        except DecodingError:
            pass
    return UNKNOWN, row | {"topics": list(log.topics), "data": log.data}


class Books:
    """Comparisons in one database, over a connection of its own."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("SET client_min_messages = warning")
        self.compared = 0
        self._queries: dict[object, bytes] = {}
        self._made: dict[tuple[str, int], tuple[bytes, bytes, bytes]] = {}
        query = """
            SELECT t.schemaname || '.' || t.tablename,
                   array_agg(a.attname::text ORDER BY a.attnum), bool_or(a.attname = 'tx_index')
            FROM pg_tables t JOIN pg_attribute a ON a.attrelid = format('%%I.%%I', schemaname, tablename)::regclass
            WHERE t.schemaname = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1 ORDER BY 1
        """
        rows = self.connection.execute(query, [SCHEMAS]).fetchall()
        self._columns: dict[str, list[str]] = {name: columns for name, columns, _ in rows}
        self._events = [n for n, _, place in rows if place and n != "chain.orphaned_logs"]
        skipped = {name for name in self._columns if name.endswith("marks")}  # a cache that follows the ranges read
        self._entities = [
            name
            for name, columns in self._columns.items()
            if name.split(".")[0] in ("arbius", "iexec") and name not in (*self._events, *skipped)
            and "chain_id" in columns
        ]  # fmt: skip

    def empty(self) -> None:
        """Remove every row of every table: cheaper than a new database."""
        if "empty" not in self._queries:
            statements = [sql.SQL("DELETE FROM {}").format(_name(table)) for table in self._columns]
            self._queries["empty"] = sql.SQL(";").join(statements).as_bytes(self.connection)
        with self.connection.transaction():
            self.connection.execute("SET LOCAL session_replication_role = replica")
            self.connection.execute(self._queries["empty"])

    def events(self, expected: dict[str, list[Row]], chain_id: int) -> list[str]:
        """What is missing in, or too much in, the event tables; a line for each row."""
        unknown = sorted(expected.keys() - set(self._events))
        wrong = [f"no table {table}" for table in unknown]
        held = self._filled(chain_id)
        with self.connection.transaction():
            for table in self._events:
                rows = expected.get(table, [])
                self.compared += len(rows)
                if rows or table in held:
                    wrong += self._compare_rows(table, rows, chain_id)
        return wrong

    def _filled(self, chain_id: int) -> set[str]:
        """The event tables with rows of the chain."""
        if chain_id not in self._queries:
            parts = [
                sql.SQL("SELECT {0} WHERE EXISTS (SELECT FROM {1} WHERE chain_id = {2})").format(
                    sql.Literal(table), _name(table), sql.Literal(chain_id)
                )
                for table in self._events
            ]
            self._queries[chain_id] = sql.SQL(" UNION ALL ").join(parts).as_bytes(self.connection)
        return {row[0] for row in self.connection.execute(self._queries[chain_id], prepare=True)}

    def _compare_rows(self, table: str, rows: list[Row], chain_id: int) -> list[str]:
        columns = [name for name in self._columns[table] if not (table == UNKNOWN and name == "reason")]
        empty, fill, both = self._statements(table, columns, chain_id)
        self.connection.execute(empty)
        with self.connection.cursor().copy(fill) as copy:
            for row in rows:
                copy.write_row([row.get(name) for name in columns])
        found = self.connection.execute(both, prepare=True)
        return [f"{table}: {what} {row[:300]}" for what, row in found]

    def _statements(self, table: str, columns: list[str], chain_id: int) -> tuple[bytes, bytes, bytes]:
        """Fill the table of what is expected, made on the first call, and compare both ways."""
        key = table, chain_id
        if key not in self._made:
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            wanted = sql.Identifier("pg_temp", f"expected {table}")
            make = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} AS SELECT {} FROM {} WITH NO DATA")
            self.connection.execute(make.format(sql.Identifier(f"expected {table}"), names, _name(table)))
            stored = sql.SQL("SELECT {} FROM {} WHERE chain_id = {}").format(names, _name(table), sql.Literal(chain_id))
            both = sql.SQL(
                "SELECT 'missing', t::text FROM (SELECT * FROM {1} EXCEPT ALL {0}) t UNION ALL "
                "SELECT 'too much', t::text FROM ({0} EXCEPT ALL SELECT * FROM {1}) t"
            ).format(stored, wanted)
            fill = sql.SQL("COPY {} ({}) FROM STDIN").format(wanted, names)
            empty = sql.SQL("DELETE FROM {}").format(wanted)
            made = [statement.as_bytes(self.connection) for statement in (empty, fill, both)]
            self._made[key] = made[0], made[1], made[2]
        return self._made[key]

    def entities(self, chain_id: int, clean: int) -> list[str]:
        """How the entities of one chain differ from those of another that should be alike."""
        key = chain_id, clean
        if key not in self._queries:
            self._queries[key] = self._entity_query(chain_id, clean).as_bytes(self.connection)
        wrong = []
        for table, what, row in self.connection.execute(self._queries[key], prepare=True):
            if what == "count":
                self.compared += int(row)
            else:
                wrong.append(f"{table}: {what} {row[:300]}")
        return wrong

    def _entity_query(self, chain_id: int, clean: int) -> sql.Composed:
        parts = []
        for table in self._entities:
            names = sql.SQL(", ").join(sql.Identifier(name) for name in self._columns[table] if name != "chain_id")
            stored, wanted = (
                sql.SQL("SELECT {} FROM {} WHERE chain_id = {}").format(names, _name(table), sql.Literal(number))
                for number in (chain_id, clean)
            )
            parts.append(
                sql.SQL(
                    "SELECT {0}, 'missing', t::text FROM ({1} EXCEPT ALL {2}) t UNION ALL "
                    "SELECT {0}, 'too much', t::text FROM ({2} EXCEPT ALL {1}) t UNION ALL "
                    "SELECT {0}, 'count', count(*)::text FROM ({1}) t"
                ).format(sql.Literal(table), wanted, stored)
            )
        return sql.SQL(" UNION ALL ").join(parts)

    def covered_to(self, chain_id: int) -> int:
        """The block up to which every active contract is read without a gap; -1 where one is not read at all."""
        query = """
            SELECT s.group_id, min(s.from_block),
                   (SELECT range_agg(int8range(c.from_block, c.to_block, '[]')) FROM chain.coverage c
                    WHERE c.group_id = s.group_id)
            FROM chain.sources s WHERE s.chain_id = %s AND s.active GROUP BY 1
        """
        lowest: list[int] = []
        for _, first, ranges in self.connection.execute(query, [chain_id]):
            lowest.append(max((piece.upper - 1 for piece in ranges or () if piece.lower <= first), default=-1))
        return min(lowest, default=-1)

    def window(self, chain_id: int) -> list[tuple[int, bytes, bytes]]:
        """(number, hash, parent) of the blocks that the indexer takes for those of the head, lowest first."""
        query = "SELECT block_number, block_hash, parent_hash FROM chain.blocks WHERE chain_id = %s ORDER BY 1"
        return self.connection.execute(query, [chain_id]).fetchall()

    def incidents(self, chain_id: int) -> list[tuple[str, str, int]]:
        """(kind, message, times) of what was written down."""
        query = "SELECT kind, message, times FROM chain.incidents WHERE chain_id = %s"
        return self.connection.execute(query, [chain_id]).fetchall()  # type: ignore[return-value]

    def reorgs(self, chain_id: int) -> list[tuple[bytes, bytes]]:
        """(old head, new head) of the reorgs that the indexer believes in."""
        query = "SELECT old_head_hash, new_head_hash FROM chain.reorgs WHERE chain_id = %s"
        return self.connection.execute(query, [chain_id]).fetchall()  # type: ignore[return-value]

    def provider_errors(self, chain_id: int) -> dict[str, int]:
        """Kind of error -> how often, by the scoreboard of providers."""
        query = """
            SELECT key, sum(value::bigint)::bigint FROM chain.providers, jsonb_each_text(errors)
            WHERE chain_id = %s GROUP BY 1
        """
        return dict(self.connection.execute(query, [chain_id]).fetchall())

    def cut_connections(self) -> int:
        """Cut everybody else's connections to this database, as a server that goes down does; how many."""
        query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        """
        row = self.connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        self.connection.close()


def _name(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))
