"""What is kept of one plugin in a lock."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from distributions import distribution, importable, module, stage_plugin
from pydantic import BaseModel

from medical_kg.orchestration.local import source_hash
from medical_kg.orchestration.lock.entries import entry_of, record_digest, schema_digest
from medical_kg.orchestration.registry import Installation

SOURCES = "medical_kg.sources"
RECORD = """\
../../../bin/score,sha256=aaa,10
score/__init__.py,sha256=bbb,20
score/__pycache__/__init__.cpython-311.pyc,,
dist_score-1.0.dist-info/INSTALLER,sha256=ccc,4
dist_score-1.0.dist-info/METADATA,sha256=ddd,30
dist_score-1.0.dist-info/RECORD,,
dist_score-1.0.dist-info/entry_points.txt,sha256=eee,30
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into."""
    with importable(tmp_path):
        yield tmp_path


def record(folder: Path, text: str | bytes, **more: str) -> str:
    """The digest of a distribution with this RECORD, and other files of its metadata."""
    info = distribution(folder, "dist-score", {})
    content = text if isinstance(text, bytes) else text.encode()
    (info / "RECORD").write_bytes(content)
    for name, said in more.items():
        (info / f"{name}.json").write_text(said)
    return record_digest(Distribution.at(info))


def test_the_record_stands_for_the_content(folder: Path) -> None:
    """The digest changes with any installed file, and not with the order of the lines."""
    digest = record(folder, RECORD)
    assert (len(digest), record(folder, "".join(reversed(RECORD.splitlines(keepends=True))))) == (64, digest)
    assert record(folder, RECORD.replace("bbb", "bbc")) != digest
    assert record(folder, RECORD.replace("eee", "eef")) != digest


@pytest.mark.parametrize(
    "machine",
    [
        lambda text: text.replace("aaa", "xxx"),
        lambda text: text.replace("../../../bin", "/usr/bin"),
        lambda text: text.replace("cpython-311", "cpython-313"),
        lambda text: text.replace("ccc", "xxx"),
        lambda text: text + "dist_score-1.0.dist-info/REQUESTED,sha256=fff,0\n",
    ],
)
def test_what_is_the_machine_s_is_left_out(folder: Path, machine: Callable[[str], str]) -> None:
    """Scripts, stored translations and what the installer wrote of itself do not count."""
    assert record(folder, machine(RECORD)) == record(folder, RECORD)


def test_without_a_record_of_the_content(folder: Path) -> None:
    """A RECORD that is absent, empty or unreadable gives nothing; so does an editable one, which lists no source."""
    assert record(folder, "") == ""
    assert record(folder, b"\xff\xfe") == ""
    assert record_digest(Distribution.at(distribution(folder / "other", "none", {}))) == ""
    damaged = record(folder, RECORD, direct_url="{")
    assert damaged == record(folder, RECORD, direct_url='"text"') != ""
    assert record(folder, RECORD, direct_url=json.dumps({"dir_info": {"editable": True}})) == ""


def test_the_source_stands_in_for_the_record(folder: Path) -> None:
    """Without a RECORD the source of the plugin's module is what is hashed; a module without source is left at that."""
    module(folder, "things", "Thing = 1\n")
    points = {"thing": "things.Thing:x", "builtin": "sys:path", "absent": "nothing_of_this_name:x", "odd": "__main__:x"}
    distribution(folder, "dist", points, door=SOURCES)
    installation = Installation(path=[str(folder)])
    found = {name: entry_of(installation.door(SOURCES).claim(name)) for name in points}
    assert found["thing"].model_dump(exclude_defaults=True) == {
        "distribution": "dist",
        "version": "1.0",
        "source": source_hash(folder / "things.py"),
    }
    assert [found[name].source for name in ("builtin", "absent")] == ["", ""]
    assert "things" not in sys.modules


def test_a_stage_type_has_its_behaviour_and_config(folder: Path) -> None:
    """Of a stage type the version of its metadata and the schema of its config are kept besides."""
    stage_plugin(folder, "score")
    stages = Installation(path=[str(folder)]).stages
    kept = entry_of(stages.claim("score"), stages.get("score"))
    assert (kept.behaviour, kept.config) == ("1.0", schema_digest(stages.get("score").metadata.config_model))
    elsewhere = entry_of(None, stages.get("score"))
    assert (elsewhere.record, elsewhere.source, elsewhere.behaviour, elsewhere.config) == ("", "", "1.0", "")


def test_the_schema_stands_for_the_config() -> None:
    """Another field or default is another digest; a model whose schema cannot be said has none."""

    class One(BaseModel):
        depth: int = 3

    class Two(BaseModel):
        depth: int = 4

    class Odd(BaseModel):
        call: Callable[[int], int]

    assert len({schema_digest(One), schema_digest(Two), ""}) == 3
    assert schema_digest(Odd) == ""
