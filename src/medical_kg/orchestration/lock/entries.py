"""What is kept of one plugin: its distribution, the files of that, and for a stage type its behaviour and config."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.local import source_hash

if TYPE_CHECKING:
    from pydantic import BaseModel

    from medical_kg.orchestration.discovery import Claim
    from medical_kg.orchestration.registry import StageType

OF_THE_CONTENT = ("METADATA", "entry_points.txt")
"""Of a distribution's metadata folder, what does not depend on who installed it, and how."""


class Entry(Model):
    """A plugin as locked.

    ``record`` is the sha256 of its distribution's list of files with their hashes; ``source`` that of its source, for
    what has no such list: a local module, an editable installation. A stage type has besides the ``behaviour`` version of
    its metadata, and the sha256 of its ``config`` model's JSON schema. What does not apply is empty.
    """

    distribution: str
    version: str
    record: str = ""
    source: str = ""
    behaviour: str = ""
    config: str = ""


def entry_of(claim: Claim | None, stage_type: StageType | None = None) -> Entry:
    """Return the entry of a plugin; of a stage type that lives in another environment there is no ``claim`` here."""
    origin = stage_type.origin if stage_type is not None else claim.origin  # type: ignore[union-attr]  # one is given
    found_in = None if claim is None else claim.found_in
    record = "" if found_in is None else record_digest(found_in)
    source = origin.source
    if found_in is not None and not record:
        source = _source_of(origin.object.partition(":")[0].partition(".")[0])
    kept = Entry(distribution=origin.distribution, version=origin.version, record=record, source=source)
    if stage_type is None:
        return kept
    # Of a stage type elsewhere only its worker knows the config model.
    config = schema_digest(stage_type.metadata.config_model) if claim is not None else ""
    return kept.model_copy(update={"behaviour": stage_type.metadata.version, "config": config})


@cache
def record_digest(distribution: Distribution) -> str:
    """Return the sha256 of what a distribution's RECORD says of its content; empty where there is none or it is editable.

    Left out is what differs between machines: scripts (they name the interpreter), stored translations, and what the
    installer wrote about the installation. The format is that of PEP 376 and PEP 627.
    """
    try:
        text = distribution.read_text("RECORD") or ""
    except (OSError, ValueError):  # damaged: as if it had none
        return ""
    if not text.strip() or _is_editable(distribution):
        return ""
    lines = sorted(line for line in text.splitlines() if _is_content(line))
    return sha256("\n".join(lines).encode()).hexdigest()


def _is_content(line: str) -> bool:
    path = line.rsplit(",", 2)[0].strip('"')
    folder, _, file = path.rpartition("/")
    if path.startswith(("../", "/")) or path.endswith(".pyc"):
        return False
    return not folder.endswith(".dist-info") or file in OF_THE_CONTENT


def _is_editable(distribution: Distribution) -> bool:
    # PEP 610 says how an installer tells it.
    try:
        said = json.loads(distribution.read_text("direct_url.json") or "{}")
        return bool(said.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, AttributeError):  # damaged: then its RECORD is all there is
        return False


@cache
def _source_of(module: str) -> str:
    """Return the hash of an installed module's source; empty where it has none."""
    try:
        spec = importlib.util.find_spec(module)
        return "" if spec is None or not spec.origin else source_hash(Path(spec.origin))
    except (ImportError, ValueError, OSError):
        return ""


@cache
def schema_digest(model: type[BaseModel]) -> str:
    """Return the sha256 of a config model's JSON schema; empty where it has types that JSON schema cannot say."""
    try:
        schema: Any = model.model_json_schema()
    except Exception:  # noqa: BLE001  # a model may have any hooks
        return ""
    return sha256(json.dumps(schema, sort_keys=True, default=repr).encode()).hexdigest()
