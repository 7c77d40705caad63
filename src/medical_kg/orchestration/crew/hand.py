"""The life of a worker process that runs whole batches: take one, run it, say how it ended; until told to end.

Ctrl-C is for whoever started it, and reaches it as SIGINT from there. When that process is gone, so is this one.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.crew.driver import Driver
from medical_kg.orchestration.crew.messages import plain
from medical_kg.orchestration.isolation.channel import Channel
from medical_kg.orchestration.isolation.errors import told
from medical_kg.orchestration.isolation.logs import Forward
from medical_kg.orchestration.telemetry.events import Event, Events
from medical_kg.orchestration.workspace import Workspace

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation.channel import Message

GRACE_SECONDS = 10.0
"""How long a batch may take to be given up once nobody is there to run it for."""
INTERRUPTED = 130


def serve(channel_fd: int, settings: Mapping[str, Any]) -> None:
    """Run the batches that come over the channel; ``settings`` are the workspace, the engine and the log's level."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    channel = Channel(socket.socket(fileno=channel_fd))
    logging.getLogger().addHandler(Forward(channel))
    for name, level in settings["levels"].items():
        logging.getLogger(name).setLevel(level)
    wanted: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(channel, wanted), daemon=True).start()
    try:
        _work(channel, wanted, settings)
    except KeyboardInterrupt:
        # A stage may still be at work in another thread, which Python would wait for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    channel.close()


def _listen(channel: Channel, wanted: SimpleQueue[str | None]) -> None:
    while (received := channel.receive()) is not None:
        batch_id: str | None = received[0]["batch"]
        wanted.put(batch_id)
        if batch_id is None:
            return
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(INTERRUPTED)


def _work(channel: Channel, wanted: SimpleQueue[str | None], settings: Mapping[str, Any]) -> None:
    def tell(event: Event) -> None:
        with suppress(OSError):  # who started this process is gone; it is about to end
            channel.send({"event": plain(event)})

    workspace = Workspace(Path(settings["root"]))
    driver = Driver(workspace, settings["engine"], Events([tell]))
    try:
        while (batch_id := wanted.get()) is not None:
            answer = _run(driver, batch_id)
            with suppress(OSError):
                channel.send(answer)
    finally:
        driver.close()
        workspace.close()


def _run(driver: Driver, batch_id: str) -> Message:
    try:
        driver.run(batch_id)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told, and the next batch may run
        return {"done": batch_id, "error": told(error)}
    return {"done": batch_id}
