"""The log of a program: lines for people, or one JSON object a line, on standard error. Called by the command line only."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from medical_kg.orchestration.contract.secrets import redacted

IDS = ("submission_id", "batch_id", "stage")
"""What a record says of where it belongs, when it says so."""


def configure(form: Literal["text", "json"] = "text", *, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Send this process's log to ``stream`` (standard error unless given); calling it again changes the form.

    As text, warnings of everything but the events are shown, since progress is shown otherwise; with ``verbose`` also
    what is only worth knowing, events included. As JSON all of that is written.
    """
    everything = verbose or form == "json"
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("medical_kg").setLevel(logging.INFO if everything else logging.WARNING)
    logging.getLogger("medical_kg.events").setLevel(logging.INFO if everything else logging.CRITICAL)
    # A quarantined plugin is told by the error of who asked for it.
    logging.getLogger("medical_kg.orchestration.registry").setLevel(logging.WARNING if everything else logging.ERROR)


def silence() -> None:
    """Show nothing more: threads that are still at work when a program ends have no last word."""
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if not isinstance(one, _Handler)] + [logging.NullHandler()]


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it can be told from those of others; standard error is what it is when a record comes."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        self._given = stream

    def emit(self, record: logging.LogRecord) -> None:
        # Ctrl-C on its way through SQLAlchemy's pool, which logs it with a traceback and lets it go on, is no news.
        passing = record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt)
        if not (passing and record.name.startswith("sqlalchemy.")):
            self.stream = self._given or sys.stderr
            super().emit(record)


class TextFormatter(logging.Formatter):
    """``12:30:01 WARNING message [stage=parse batch_id=…]`` and the traceback, if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = {} if hasattr(record, "event") else _ids(record)
        where = " ".join(f"{name}={value}" for name, value in said.items())
        time = datetime.fromtimestamp(record.created).astimezone()
        line = f"{time:%H:%M:%S} {record.levelname} {record.getMessage()}{f' [{where}]' if where else ''}"
        return redacted(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


class JsonFormatter(logging.Formatter):
    """One object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, the ids, ``event`` and ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(record),
        }
        if hasattr(record, "event"):
            said["event"] = record.event
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return redacted(json.dumps(said, default=str))


def _ids(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: getattr(record, name, None) for name in IDS}
    event = getattr(record, "event", {})
    return {name: value for name in IDS if (value := found[name] or event.get(name))}
