"""An HTTP server on the loopback address, for tests of what fetches; ``tests/conftest.py`` has the fixture."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Handler = Callable[[BaseHTTPRequestHandler], None]


def answer(
    body: bytes = b"", status: int = 200, media_type: str | None = None, length: int | None = None, **headers: str
) -> Handler:
    """Answer with this; ``length`` is said instead of the body's own, and none for -1."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        if media_type is not None:
            request.send_header("Content-Type", media_type)
        if length != -1:
            request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return respond


class Server:
    """``routes`` maps a path to what answers it, or to its answers in turn, the last one for ever.

    ``seen`` keeps the requests: the path with its query, and the headers by lower-case name; ``paths`` the paths alone.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Handler | list[Handler]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        server = self

        class Answer(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_POST(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                before = server.paths.count(path)
                server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                found = server.routes.get(path, answer(status=404))
                answers = found if isinstance(found, list) else [found]
                answers[min(before, len(answers) - 1)](self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.host = f"127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        return [path.partition("?")[0] for path, _ in self.seen]

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
