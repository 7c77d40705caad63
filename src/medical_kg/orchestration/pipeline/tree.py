"""The plain value of a file, and where each key and value stands in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.pipeline.problems import Path, Place, Problem

MAX_NODES = 10_000
MAX_DEPTH = 32


class LoadFailed(UsageError):
    """The text cannot be read; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        """Keep the problem."""
        self.problem = problem
        super().__init__(problem.message)


@dataclass(slots=True)
class Tree:
    """A file's plain value, and where each key and value stands."""

    file: str
    value: Any
    values: dict[Path, Place]
    keys: dict[Path, Place]
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where a value (or its key) stands, or the nearest thing around it that is in the file."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        for end in range(len(path), -1, -1):
            if found := first.get(path[:end]) or second.get(path[:end]):
                return found
        return Place(self.file)

    def problem(self, code: str, message: str, path: Path, suggestion: str = "", *, key: bool = False) -> Problem:
        """Return a problem with the value (or the key) at ``path``."""
        return Problem.at(self.place(path, key=key), code, message, path, suggestion)


def failed(place: Place, code: str, message: str, suggestion: str = "", path: Path = ()) -> LoadFailed:
    """Return the error for a problem at a place, ready to raise."""
    return LoadFailed(Problem.at(place, code, message, path, suggestion))
