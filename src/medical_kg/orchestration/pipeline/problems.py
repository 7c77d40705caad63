"""Problems found in a pipeline file: each has a code, a place, the line with a caret, and a way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from medical_kg.orchestration.contract.secrets import redacted

Severity = Literal["error", "warning"]
Path = tuple[str | int, ...]
"""Where a value stands in the file: keys and list positions from the top."""

WIDTH = 120
"""Characters of a source line that are shown at most."""


class Kind(NamedTuple):
    """What a code stands for."""

    title: str
    severity: Severity = "error"


KINDS: dict[str, Kind] = {
    "MKG001": Kind("the file cannot be read"),
    "MKG002": Kind("the file is too large"),
    "MKG003": Kind("the file is not UTF-8 text"),
    "MKG004": Kind("the file is not valid YAML"),
    "MKG005": Kind("the file holds more than one document"),
    "MKG006": Kind("a key is given twice"),
    "MKG007": Kind("an alias is unknown or contains itself"),
    "MKG008": Kind("the file holds too many values or nests too deeply"),
    "MKG009": Kind("a YAML feature is not supported here"),
    "MKG010": Kind("the file is empty or not a mapping"),
    "MKG011": Kind("unknown key"),
    "MKG012": Kind("a field is missing"),
    "MKG013": Kind("a value is wrong"),
    "MKG014": Kind("a name cannot be used"),
    "MKG015": Kind("a name is used twice"),
    "MKG020": Kind("stage type not found"),
    "MKG021": Kind("a stage type is claimed by several distributions"),
    "MKG022": Kind("a stage type is broken"),
    "MKG023": Kind("unknown policy"),
    "MKG024": Kind("a stage type needs an unknown service"),
    "MKG025": Kind("the default policy of a stage type is not defined", "warning"),
    "MKG026": Kind("unknown environment"),
    "MKG027": Kind("an environment cannot be used"),
    "MKG028": Kind("the results of a stage cannot be kept per item"),
    "MKG030": Kind("unknown dependency"),
    "MKG031": Kind("a stage depends on itself"),
    "MKG032": Kind("stages depend on each other in a circle"),
    "MKG033": Kind("a dependency is named twice", "warning"),
    "MKG040": Kind("a config cannot be completed"),
    "MKG041": Kind("a stage type failed while its config was checked"),
    "MKG042": Kind("unknown condition"),
    "MKG043": Kind("a plugin named in a config is not available"),
    "MKG050": Kind("nothing upstream writes what a stage reads"),
    "MKG051": Kind("parallel stages write the same key"),
    "MKG052": Kind("a stage reads a key as another type than is written"),
    "MKG053": Kind("more than one stage feeds the pipeline"),
    "MKG054": Kind("the stage that feeds the pipeline waits for another"),
    "MKG055": Kind("no stage feeds the pipeline"),
    "MKG060": Kind("a condition is never used", "warning"),
    "MKG061": Kind("resume_stage is not a stage"),
    "MKG062": Kind("resume_stage does not come after the wait"),
    "MKG071": Kind("a schedule cannot be used"),
    "MKG080": Kind("an override cannot be applied"),
    "MKG081": Kind("a pipeline's name differs from its file's", "warning"),
    "MKG082": Kind("two files have one name", "warning"),
}
"""Every code, with its one-line title and severity. Codes are never used again for something else."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text: the file as named to the user, line and column from 1, and the line itself.

    Line 0 stands for something that has no lines, such as an option of the command line.
    """

    file: str
    line: int = 1
    column: int = 1
    text: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or worth knowing, in a file.

    Attributes:
        code: ``MKG`` and three digits, see ``KINDS``; it settles the severity.
        message: what is wrong.
        file, line, column: where, counted from 1; line 0 where there are no lines.
        path: the same place in words, e.g. ``stages[2].config.max_tokens``; empty for the file as a whole.
        suggestion: what to do, or empty.
        text: the line of the file.
    """

    code: str
    message: str
    file: str
    line: int = 1
    column: int = 1
    path: str = ""
    suggestion: str = ""
    text: str = ""

    @classmethod
    def at(cls, place: Place, code: str, message: str, path: Path = (), suggestion: str = "") -> Problem:
        """Return a problem at a place."""
        said, text = redacted(message), redacted(place.text)
        return cls(code, said, place.file, place.line, place.column, show(path), suggestion, text)

    @property
    def severity(self) -> Severity:
        """How bad it is: an ``error`` keeps the pipeline from running."""
        return KINDS[self.code].severity

    @property
    def title(self) -> str:
        """The kind of problem in one line."""
        return KINDS[self.code].title

    def __str__(self) -> str:
        """Return place, message, source line, caret and suggestion, ready to print."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        lines = [f"{where}: {self.severity} {self.code}: {self.message}"]
        if self.text.strip():
            lines += _with_caret(self.text, self.column)
        if self.suggestion:
            lines.append(f"  help: {self.suggestion}")
        return "\n".join(lines)


def _with_caret(text: str, column: int) -> list[str]:
    start = max(0, column - WIDTH // 2) if len(text) > WIDTH else 0
    shown = text[start : start + WIDTH].rstrip()
    # A tab stays a tab, so that the caret stands below the character in any terminal.
    before = "".join("\t" if character == "\t" else " " for character in text[start : column - 1])
    return [f"    {shown}", f"    {before}^"]


def show(path: Path) -> str:
    """Return a path in words: ``stages[2].config.max_tokens``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
