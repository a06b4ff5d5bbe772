"""Databases for the integration tests: on the server that TASKSCAN_TEST_DATABASE_URL names, else on an embedded one."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from indexer.ingest.run import run
from indexer.store import database as db
from indexer.store import migrate, server
from tests.support import addresses, replay, settings_for

MEMORY, ROOM = Path("/dev/shm"), 4 << 30  # bytes: several times what the databases of one tester ever hold


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a server on which we may create databases."""
    if given := os.environ.get("TASKSCAN_TEST_DATABASE_URL"):
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="taskscan-tests-"))
    try:
        with server.using(folder, fast=True) as running, _in_memory(running.url):
            yield running.url
    finally:
        server.remove(folder)
        shutil.rmtree(folder)


@contextmanager
def _in_memory(url: str) -> Iterator[None]:
    """Keep all databases made from now on in memory where there is room for them, until the server is removed.

    A database is more than a thousand files: to make one there takes a twentieth of the time that a disk needs.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        yield
        return
    for left in MEMORY.glob("taskscan-tests-*"):
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():  # of a tester that was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"taskscan-tests-{os.getpid()}-", dir=MEMORY))
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
            owner = Path(data).stat()
            os.chown(folder, owner.st_uid, owner.st_gid)
            place = sql.SQL("CREATE TABLESPACE memory LOCATION {}").format(sql.Literal(str(folder)))
            connection.execute(place)
            connection.execute("ALTER DATABASE template0 SET TABLESPACE memory")  # copies stay where their template is
        yield
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """The URL of a database that is empty and this test's own."""
    with fresh_database(server_url) as url:
        yield url


@contextmanager
def fresh_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """Yield the URL of a new database, a copy of the database named ``template``, and drop it afterwards.

    Nobody may be connected to the template meanwhile.
    """
    name = f"taskscan_test_{secrets.token_hex(8)}"
    # Copying files is eight times faster here than PostgreSQL's default, which logs every page.
    copy = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
    copied = sql.SQL(copy).format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(copied)
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a database with this version's tables, to be copied."""
    with fresh_database(server_url) as url:
        engine = db.engine(url)
        migrate.upgrade(engine)
        engine.dispose()
        yield urlsplit(url).path[1:]


@pytest.fixture
def migrated(server_url: str, template: str) -> Iterator[str]:
    """The URL of a database with this version's tables, empty and this test's own."""
    with fresh_database(server_url, template) as url:
        yield url


@pytest.fixture(scope="session")
def iexec(server_url: str, template: str) -> Iterator[str]:
    """The URL of a database that holds the recording iexec-dev, enriched; only to be read."""
    yield from _recorded(server_url, template, "iexec-dev")


@pytest.fixture(scope="session")
def arbius(server_url: str, template: str) -> Iterator[str]:
    """The same of arbius-dev."""
    yield from _recorded(server_url, template, "arbius-dev")


def _recorded(server_url: str, template: str, name: str) -> Iterator[str]:
    from tests.integration.test_enrich import read  # which imports this file

    with fresh_database(server_url, template) as database:
        read(database, name)
        yield database


@pytest.fixture(scope="session")
def filled(server_url: str, template: str) -> Iterator[str]:
    """A database with both recordings."""
    with fresh_database(server_url, template) as database:
        for name, network, protocol, chain_id in (
            ("arbius-dev", "arbius", "arbius-engine", 42161),
            ("iexec-dev", "iexec", "iexec-poco-6.1", 31337),
        ):
            with replay(name) as chain:
                source = {"network": network, "addresses": addresses(name, protocol)}
                settings = settings_for(database, chain.url, chain_id, [source])
                settings.chains[0].name = settings.sources[0].chain = network
                engine = db.engine(database)
                asyncio.run(run(settings, engine, until_synced=True, watch=lambda jobs: None))
                engine.dispose()
        yield database
