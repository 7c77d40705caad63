"""Changes its surroundings: folder, environment, log, and prints."""

from __future__ import annotations

import logging
import os

from medical_kg_hostile.making import Whole, metadata

print("hello from an import")  # noqa: T201
os.chdir("/")
os.environ["PATH"] = "/nowhere"
logging.getLogger().handlers.clear()
logging.disable(logging.CRITICAL)


class Stage(Whole):
    """Works."""

    metadata = metadata("changes-on-import")
