"""What the wrong pipelines are checked with: our own stage types, and those of made-up packages."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from distributions import distribution, importable
from mutations import entries_of, examples

from medical_kg.orchestration.isolation import Environments
from medical_kg.orchestration.isolation.environments import Environment
from medical_kg.orchestration.pipeline import CheckResult, check, load_policies
from medical_kg.orchestration.pipeline.catalog import shipped_folder
from medical_kg.orchestration.registry import Installation

HERE = Path(__file__).parent
Check = Callable[..., CheckResult]

HEADER = re.compile(r"# expect: (MKG\d{3}) at (\d+):(\d+) ?(.*)")
BELOW = re.compile(r"#( *)(\^|<) (MKG\d{3}) ?(.*)")


def expected_in(text: str) -> list[tuple[int, int, str, str]]:
    """Return line, column, code and words of every problem that a wrong file says it has; see its folder's README."""
    found, last = [], 0
    for number, line in enumerate(re.split("\r\n|[\n\r]", text), start=1):
        if header := HEADER.fullmatch(line):
            found.append((int(header[2]), int(header[3]), header[1], header[4]))
        elif below := BELOW.fullmatch(line):
            found.append((last, len(below[1]) + 2 if below[2] == "^" else 1, below[3], below[4]))
        else:
            last = number
    return sorted(found)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The made-up packages and those of ``examples``, installed beside what really is."""
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        for path in (HERE, folder, *(project / "src" for project in examples())):
            stack.enter_context(importable(path))
        for project in examples():
            distribution(folder, project.name, entries_of(project))
        for name, entries in importlib.import_module("acme").ENTRIES.items():
            distribution(folder, name, entries)
        yield folder


@pytest.fixture(scope="module")
def installed(acme: Path) -> Installation:
    return Installation(path=list(sys.path))


@pytest.fixture(scope="module")
def judge(installed: Installation) -> Check:
    """Check a file or a text with the shipped policies and one environment that has no interpreter."""
    policies = load_policies(shipped_folder() / "resilience.yaml").by_name
    environments = Environments({"gone": Environment(python=Path("no-such-python"))})

    def run(source: Path | str, **more: Any) -> CheckResult:
        return check(source, installed.stages, installed, policies, environments=environments, **more)

    return run


@pytest.fixture(scope="module")
def expected() -> Callable[[str], list[tuple[int, int, str, str]]]:
    """Return what a wrong file says of itself."""
    return expected_in
