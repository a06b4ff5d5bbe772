"""Running the queue's server inside an event loop that does other things, too."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import uvicorn
from sqlalchemy.engine import Engine

from indexer.errors import ConfigError
from indexer.work.server import Queue, application

GRACE = 5  # seconds that requests under way have when the server stops
CONNECTIONS = 1000  # at once; the next one gets 503


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the command, not to the server in it."""
        yield


@contextlib.asynccontextmanager
async def serving(engine: Engine, host: str, port: int, keep_days: int) -> AsyncIterator[str]:
    """Serve the queue in `engine`'s database at `host`:`port` (0: any free one); its URL.

    `keep_days`: how long it remembers a job after its end.
    Raises ConfigError where that place cannot be had.
    """
    place = _bound(host, port)  # it takes connections from here on, whenever the server is ready
    queue = Queue(engine, timedelta(days=keep_days))
    config = uvicorn.Config(
        application(queue), log_config=None, access_log=False, server_header=False, lifespan="on",
        limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[place]))
    try:
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{place.getsockname()[1]}"
    finally:
        await queue.bell.close()
        server.should_exit = True
        await asyncio.gather(running, return_exceptions=True)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        said = (error.strerror or str(error)).partition(" (while")[0]  # Python repeats the place there
        raise ConfigError(f"The queue cannot listen at {host}:{port}: {said}. Choose another place.") from None
