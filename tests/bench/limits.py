"""The two limits beside which reading is set: the same bytes over HTTP unparsed, the same rows by bare COPY."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psycopg
from psycopg import sql

from tests.bench.process import Served, measured, postgres_cpu_seconds

CONNECTIONS = 4  # as many as the scanner has readers
TRANSACTIONS = 8
Piece = tuple[str, list[bytes]]


def fetch_seconds(server: Served, folder: Path) -> float:
    """Seconds in which another process fetches the bytes of all answers with logs that the server has given."""
    bodies = folder / "bodies.json"
    bodies.write_text(json.dumps(server.get("/bodies")))
    ran = measured([sys.executable, "-m", "tests.bench.limits", server.url, str(bodies)], folder)
    return float(ran.said)


def copy_seconds(source: str, target: str, last_block: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of the server, in which the event rows of `source` go by COPY into those of `target`.

    The rows are held in PostgreSQL's own binary form before the clock starts, so nothing but the server works.
    """
    with psycopg.connect(source) as connection:
        slices = [list(_pieces(connection, *bounds)) for bounds in _bounds(last_block)]
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        began, worked = time.monotonic(), postgres_cpu_seconds(source)
        for pieces in slices:
            with connection.transaction(), connection.cursor() as cursor:
                for table, chunks in pieces:
                    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier("arbius", table))
                    with cursor.copy(statement) as copy:
                        for chunk in chunks:
                            copy.write(chunk)
        return time.monotonic() - began, postgres_cpu_seconds(source) - worked


def _bounds(last_block: int) -> Iterator[tuple[int, int]]:
    size = last_block // TRANSACTIONS + 1
    for first in range(0, last_block + 1, size):
        yield first, first + size - 1


def _pieces(connection: psycopg.Connection, first: int, last: int) -> Iterator[Piece]:
    for table in event_tables(connection):
        rows = sql.SQL("COPY (SELECT * FROM {} WHERE block_number BETWEEN {} AND {}) TO STDOUT (FORMAT BINARY)")
        with (
            connection.cursor() as cursor,
            cursor.copy(rows.format(sql.Identifier("arbius", table), first, last)) as out,
        ):
            data = b"".join(out)
        if len(data) > 21:  # more than the head and the end of an empty COPY
            yield table, [data[n : n + 65_536] for n in range(0, len(data), 65_536)]


def event_tables(connection: psycopg.Connection) -> list[str]:
    """The tables of schema arbius that hold logs."""
    query = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'arbius' AND column_name = %s"
    return [name for (name,) in connection.execute(query, ["tx_index"])]


async def _fetch(url: str, bodies: list[str]) -> float:
    waiting = iter(bodies)
    async with aiohttp.ClientSession() as session:
        began = time.monotonic()
        await asyncio.gather(*(_fetch_some(session, url, waiting) for _ in range(CONNECTIONS)))
        return time.monotonic() - began


async def _fetch_some(session: aiohttp.ClientSession, url: str, waiting: Iterator[str]) -> None:
    for body in waiting:
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            await answer.read()


def main() -> None:
    """Fetch what the file of request bodies asks for and print the seconds."""
    options = argparse.ArgumentParser(description="Fetch answers over HTTP without parsing them.")
    options.add_argument("url")
    options.add_argument("bodies", type=Path)
    given = options.parse_args()
    print(asyncio.run(_fetch(given.url, json.loads(given.bodies.read_text()))))


if __name__ == "__main__":
    main()
