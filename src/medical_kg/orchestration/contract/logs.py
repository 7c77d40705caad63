"""The log of a stage, which takes secrets out of what is written to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.secrets import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping


class Redacting(logging.Filter):
    """Takes secrets out of log records, from the message and from the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without secrets."""
        record.msg, record.args = redacted(record.getMessage()), ()
        if record.exc_info:
            # Whoever writes the record takes the text that is there already.
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return True


_redacting = Redacting()


def stage_logger(stage_type: str, ids: Mapping[str, Any]) -> logging.LoggerAdapter[logging.Logger]:
    """Return the logger of a stage, ``medical_kg.stage.TYPE``; each record carries the ids."""
    logger = logging.getLogger(f"medical_kg.stage.{stage_type}")
    logger.addFilter(_redacting)  # once: adding it again changes nothing
    return logging.LoggerAdapter(logger, ids)
