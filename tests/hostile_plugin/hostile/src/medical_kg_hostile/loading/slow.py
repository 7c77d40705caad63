"""Takes its time."""

from __future__ import annotations

import time

from medical_kg_hostile.making import Whole, metadata

time.sleep(1.2)


class Stage(Whole):
    """Works, once it is there."""

    metadata = metadata("slow-import")
