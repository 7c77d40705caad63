"""What a stage's fingerprint is made of, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medical_kg.orchestration.contract.model import Model


class FingerprintParts(Model):
    """What a stage's fingerprint was made of, so that a change can be told part by part.

    ``config`` maps fields (dotted names within nested ones) to values, shortened digests standing for secrets and long
    values; ``conditions`` are those its config names; ``inputs`` the content digests by key; ``source`` the hash of a
    local module. ``digests`` holds the sha256 of each part in full.
    """

    type: str
    distribution: str
    version: str
    source: str = ""
    config: Mapping[str, Any]
    conditions: Mapping[str, Any]
    inputs: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]
