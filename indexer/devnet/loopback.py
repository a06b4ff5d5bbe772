"""HTTP on the loopback, for whatever stands in for a service that cannot run here."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What was asked: method, path with its query, headers (their names in any case), body."""

    method: str
    path: str
    headers: Message
    body: bytes


class Answer(NamedTuple):
    """What is said."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone before it is answered; anything else is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(answer: Callable[[Request], Answer | None]) -> Iterator[str]:
    """Serve what `answer` says, of several requests at once, on a free port; the URL. None breaks the connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = answer(Request(method, self.path, self.headers, body))
            if said is None:
                self.close_connection = True
                return
            headers = {"Content-Type": "application/json", "Content-Length": str(len(said.body)), **said.headers}
            self.send_response_only(said.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it would stand between the lines of whoever runs this."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
