"""What a server does when it does not behave: answers to put on a ``loopback.Server``, alone or in turn.

::

    server.routes["/v2/studies"] = [busy(after=7), reset(), truncated(PAGE), answer(PAGE)]
    server.routes["/paper.pdf"] = drips(PAPER, between=lambda: clock.advance(60))

A route's answers are given in turn, the last one for ever; ``server.paths`` and ``server.seen`` tell what was asked.

=================  =====================================================================================
``busy``           429 (or another status) with ``Retry-After``, in seconds or as a date; without one where None
``fails``          any other status, with a body of words
``truncated``      announces the whole body and closes after some of it
``reset``          breaks the connection (TCP RST): before anything is said, or after some bytes of the body
``drips``          a body in small pieces, with a call of yours before each: let a fake clock go on there
``silent``         reads the request and says nothing until the other side has left
``mistyped``       a body under a media type that is not its own
``bomb``           a small body that unpacks to ``size`` zeros
``garbled``        a body that says it is gzip and is not
``cut_gzip``       a gzip body, whole by its length, that ends before its end
``endless``        a body without announced length that goes on until the other side leaves, up to ``size`` bytes
``elsewhere``      a redirect
``chatter``        no HTTP at all
``resumable``      a file that answers ``Range`` and ``If-Range`` as RFC 9110 says; ``breaks`` tells where each answer ends
=================  =====================================================================================

All bodies are bytes, all times are the caller's: nothing here sleeps.
"""

from __future__ import annotations

import gzip
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

from loopback import Handler, answer

PIECE = 4096


def busy(status: int = 429, after: float | str | None = 1) -> Handler:
    """Ask to come again later."""
    return answer(b"slow down", status) if after is None else answer(b"slow down", status, Retry_After=str(after))


def fails(status: int = 500, body: bytes = b"it is broken", media_type: str = "text/plain") -> Handler:
    """Fail, with words that are no answer."""
    return answer(body, status, media_type)


def truncated(body: bytes, after: int | None = None, media_type: str | None = None, **headers: str) -> Handler:
    """Announce all of it, send ``after`` bytes (half of it unless said), and close."""
    part = body[: len(body) // 2 if after is None else after]
    return answer(part, media_type=media_type, length=len(body), **headers)


def reset(body: bytes = b"", after: int = 0, media_type: str | None = None) -> Handler:
    """Break the connection, at once or, where there is a body, after some bytes of it."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        if body:
            answer(body[:after], media_type=media_type, length=len(body))(request)
        break_off(request)

    return respond


def break_off(request: BaseHTTPRequestHandler) -> None:
    """End the connection so that the other side hears of a reset rather than of an end."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True
    request.rfile.close()
    request.connection.close()


def drips(
    body: bytes, between: Callable[[], object], pieces: int = 10, media_type: str | None = None, **headers: str
) -> Handler:
    """Send the body in pieces and call ``between`` before each; a client that has left is no error."""
    size = max(1, -(-len(body) // pieces))

    def respond(request: BaseHTTPRequestHandler) -> None:
        answer(media_type=media_type, length=len(body), **headers)(request)
        for start in range(0, len(body), size):
            between()
            if not send(request, body[start : start + size]):
                return

    return respond


def silent() -> Handler:
    """Read the request and say nothing until the other side has left."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            request.connection.recv(1)

    return respond


def mistyped(body: bytes, media_type: str) -> Handler:
    """Say that the body is what it is not."""
    return answer(body, media_type=media_type)


def bomb(size: int = 10_000_000, media_type: str | None = None) -> Handler:
    """Send about a thousandth of what it unpacks to."""
    return answer(gzip.compress(bytes(size)), media_type=media_type, Content_Encoding="gzip")


def garbled(body: bytes = b"this was never packed") -> Handler:
    """Say that it is gzip."""
    return answer(body, Content_Encoding="gzip")


def cut_gzip(body: bytes, media_type: str | None = None) -> Handler:
    """Leave the last bytes of the packed body out, and announce only what is sent."""
    return answer(gzip.compress(body)[:-12], media_type=media_type, Content_Encoding="gzip")


def endless(size: int = 50_000_000, media_type: str | None = None) -> Handler:
    """Send on and on; ``size`` bounds what a client that never leaves would get."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        answer(media_type=media_type, length=-1)(request)
        for _ in range(size // PIECE):
            if not send(request, bytes(PIECE)):
                return

    return respond


def elsewhere(url: str, status: int = 302) -> Handler:
    """Point somewhere else."""
    return answer(status=status, Location=url)


def chatter(words: bytes = b"220 mail.example.org ESMTP ready\r\n") -> Handler:
    """Speak another protocol."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        send(request, words)
        request.close_connection = True

    return respond


def resumable(
    body: bytes,
    etag: str = '"v1"',
    breaks: Iterator[int] | None = None,
    media_type: str | None = None,
) -> Handler:
    """Serve a file and its ranges; each answer ends after the next of ``breaks`` bytes, whole ones after the last."""
    ends = breaks or iter(())

    def respond(request: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and request.headers.get("If-Range", etag) == etag else 0
        if start >= len(body):
            answer(status=416, Content_Range=f"bytes */{len(body)}")(request)
            return
        rest = body[start:]
        more = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        part = rest[: next(ends, len(rest))]
        answer(part, 206 if start else 200, media_type, len(rest), ETag=etag, Accept_Ranges="bytes", **more)(request)

    return respond


def send(request: BaseHTTPRequestHandler, piece: bytes) -> bool:
    """Send a piece; False when the other side has left."""
    try:
        request.wfile.write(piece)
    except OSError:
        return False
    return True
