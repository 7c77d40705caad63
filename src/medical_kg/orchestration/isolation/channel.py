"""Messages between the engine and a worker: JSON objects in frames over a socket pair, never pickle.

A frame is its length (4 bytes, big-endian) and then that many bytes of UTF-8 JSON. Open files may go along with one.
Standard input and output are left to the plugin, which may print.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import Any

PROTOCOL = 1
"""Raised whenever engine and worker would no longer understand each other."""

LENGTH = struct.Struct(">I")
MAX_FDS = 4

Message = dict[str, Any]


class Channel:
    """One end. Any thread may send; one at a time receives."""

    def __init__(self, end: socket.socket) -> None:
        """Keep the socket."""
        self._socket = end
        self._sending, self._asking = threading.Lock(), threading.Lock()

    def send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a message, and open files with it; values JSON does not know go as their text.

        Raises:
            OSError: the other end is gone.
        """
        data = json.dumps(message, default=str).encode("utf-8", "surrogatepass")
        with self._sending:
            socket.send_fds(self._socket, [LENGTH.pack(len(data))], list(fds))
            self._socket.sendall(data)

    def receive(self) -> tuple[Message, list[int]] | None:
        """Wait for a message and the open files that came with it; None when the other end is gone."""
        try:
            head, fds, _, _ = socket.recv_fds(self._socket, LENGTH.size, MAX_FDS)
            head += self._read(LENGTH.size - len(head)) if head else b""
            data = self._read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
        except ConnectionError:
            return None
        return (json.loads(data.decode("utf-8", "surrogatepass")), fds) if data else None

    def ask(self, message: Mapping[str, Any]) -> Message:
        """Send a message and return the answer; several threads may ask, one after the other.

        Raises:
            ConnectionResetError: the other end is gone.
        """
        with self._asking:
            self.send(message)
            received = self.receive()
        if received is None:
            raise ConnectionResetError("the engine is gone")
        return received[0]

    def arrives(self, seconds: float | None) -> bool:
        """Whether something arrives within so many seconds (None: wait for it); the end of the other side counts."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLHUP)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _read(self, size: int) -> bytes:
        parts = []
        while size > 0:
            part = self._socket.recv(min(size, 1 << 20))
            if not part:
                raise ConnectionResetError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
