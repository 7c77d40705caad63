"""The fuzzing in small: every target with a few edited seeds, the same ones each time, and what was found before."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import Hangs, deadline, fuzz
from targets import Target, installed, targets

from medical_kg.formats.contract import DOOR as FORMATS
from medical_kg.sources.contract import DOOR as SOURCES

EXAMPLES = 40
KNOWN = {target.name: target for target in targets(real=False)}
FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("name", KNOWN)
def test_edited_files_are_read_or_refused(name: str) -> None:
    """Whatever a file, an answer, a cursor or a pipeline holds: a result, or an error that says what is wrong with it."""
    found = fuzz(KNOWN[name], examples=EXAMPLES, number=0)
    assert found.failures == []
    assert found.calls >= EXAMPLES // 2


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_before(path: Path) -> None:
    """It stays mended; the folder is named as the target."""
    with deadline(60):
        KNOWN[path.parent.name].call(path.read_bytes())


def test_every_format_and_source_is_a_target() -> None:
    """Those that are installed, so that a new one needs no change here."""
    wanted = {f"format {name}" for name in installed().names(FORMATS)}
    assert wanted | {f"cursor of {name}" for name in installed().names(SOURCES)} <= KNOWN.keys()


def test_what_breaks_the_rule_is_found_and_made_small() -> None:
    """A target that fails on some bytes is found out, and the seed is left as it is but for those."""
    harmless = b"a long text that is harmless" * 10

    def touchy(data: bytes) -> None:
        if b"<" in data:
            raise KeyError(data)

    found = fuzz(Target("touchy", touchy, [harmless]), examples=300, number=1)
    ((data, error),) = found.failures
    assert isinstance(error, KeyError)
    assert data.replace(b"<", b"") in (harmless, b"")


def test_what_hangs_is_found() -> None:
    """A call that does not end is ended."""

    def turn() -> None:
        while True:
            pass

    with pytest.raises(Hangs), deadline(0.01):
        turn()
