"""Log records on their way from another process to the engine, whose log it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.secrets import redacted

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation.channel import Channel

IDS = ("submission_id", "batch_id", "stage")


class Forward(logging.Handler):
    """Sends log records to the engine."""

    def __init__(self, channel: Channel) -> None:
        """Keep the way there."""
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record as ``{"log": …}``."""
        said = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        ids = {name: getattr(record, name) for name in IDS if hasattr(record, name)}
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
        with suppress(OSError):  # the engine is gone, and with it the log
            self._channel.send({"log": {**said, **ids, "msg": redacted(text)}})


def log(said: Mapping[str, Any]) -> None:
    """Write a record that another process sent to the log."""
    logger = logging.getLogger(said["name"])
    if logger.isEnabledFor(said["levelno"]):
        logger.handle(logging.makeLogRecord(said))
