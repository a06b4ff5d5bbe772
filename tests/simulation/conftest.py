"""A bench for the simulation tests: a migrated database that seeds share, one after the other."""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import server_url
from tests.simulation import many
from tests.simulation.run import Bench

__all__ = ["bench", "server_url"]


@pytest.fixture(scope="session")
def bench(server_url: str) -> Iterator[Bench]:
    """The bench of this process."""
    with many.bench(server_url) as made:
        yield made
