"""The pages of checks: each wrong file gives the message beside it, and the fix takes it away."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from distributions import distribution, importable
from typer.testing import CliRunner, Result

from medical_kg.cli.app import app
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.pipeline.load import MAX_BYTES
from medical_kg.orchestration.pipeline.pages import page as page_text
from medical_kg.orchestration.pipeline.problems import KINDS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STAGE_TYPE = re.compile(r'class (\w+)\(Stage\):\n    metadata = StageMetadata\(stage_type="([\w-]+)"')
OUTCOMES = {
    "error": ("An error: the pipeline does not run.", 2),
    "warning": ("A warning: the pipeline runs.", 0),
    "note": ("A note: the pipeline runs.", 0),
}


class Page(NamedTuple):
    """A page taken apart: the files of the wrong case, of the right one, and what is printed of the first."""

    code: str
    title: str
    verdict: str
    wrong: dict[str, str]
    right: dict[str, str]
    message: str
    advice: str

    @property
    def checked(self) -> str:
        """The file that is checked: the first one shown."""
        return next(name for name in self.right if name.endswith(".yaml"))


def page(code: str) -> Page:
    text = (REFERENCE / "checks" / f"{code}.md").read_text(encoding="utf-8")
    before, _, after = text.partition("\n## The fix\n")
    head = re.match(r"# (MKG\d+): (.+)\n\n(.+)\n", before)
    assert head, code
    wrong, right = files_in(before), files_in(after)
    return Page(
        head[1], head[2], head[3], wrong, {**wrong, **right}, wrong.pop("message"), BLOCK.sub("", after).strip()
    )


def files_in(part: str) -> dict[str, str]:
    unnamed = {"yaml": "trials.yaml", "text": "message", "console": "command"}
    return {name or unnamed[language]: text for name, language, text in BLOCK.findall(part)}


def folder_instead(folder: Path) -> None:
    (folder / "trials.yaml").unlink(missing_ok=True)
    (folder / "trials.yaml").mkdir()


def much_more(folder: Path) -> None:
    with (folder / "trials.yaml").open("a", encoding="utf-8") as file:
        file.write("# " + "x" * MAX_BYTES)


def another_encoding(folder: Path) -> None:
    path = folder / "trials.yaml"
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))


MADE: dict[str, Callable[[Path], None]] = {
    "MKG001": folder_instead,
    "MKG002": much_more,
    "MKG003": another_encoding,
}
"""What a page says in words of its wrong file."""
MENDED: dict[str, Callable[[Path], None]] = {"MKG082": lambda folder: (folder / "trials.yml").unlink()}
"""What a page says in words of the fix."""
COMPANIONS = {"MKG055": ["MKG050"]}
"""Codes that never come alone."""


def check(files: dict[str, str], checked: str, folder: Path, last: Callable[[Path], None] | None) -> Result:
    """Make the case in a folder and call the command line there as the page does."""
    command = files.get("command", f"$ medical-kg pipelines check {checked}\n")
    for name, text in files.items():
        if name not in ("command", "message"):
            (folder / name).write_text(text, encoding="utf-8")
    for name in (name for name in files if name.endswith(".py")):
        module = name.removesuffix(".py")
        entries = {stage: f"{module}:{cls}" for cls, stage in STAGE_TYPE.findall(files[name])}
        assert entries, name
        distribution(folder, module.replace("_", "-"), entries, version="2.0")
    if last:
        last(folder)
    with importable(folder):
        return CliRunner().invoke(app, command.removeprefix("$ medical-kg ").split())


def test_there_is_a_page_for_every_code_and_the_index_names_them_in_order() -> None:
    """Each code once, with its title and severity; nothing else stands in the folder."""
    assert sorted(path.stem for path in (REFERENCE / "checks").iterdir()) == sorted(KINDS)
    index = (REFERENCE / "checks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(MKG\d+)\]\(checks/(MKG\d+)\.md\) \| (.+) \| (\w+) \|$", index, re.MULTILINE)
    assert rows == [(code, code, kind.title, kind.severity) for code, kind in KINDS.items()]


@pytest.mark.parametrize("code", KINDS)
def test_the_wrong_example_gives_the_message_and_the_fix_takes_it_away(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed is on the page as it is, and nothing else is wrong; what the fix says is without any problem."""
    shown = page(code)
    assert (shown.code, shown.title) == (code, KINDS[code].title)
    verdict, exit_code = OUTCOMES[KINDS[code].severity]
    assert shown.verdict == verdict
    assert shown.advice
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    for folder in (wrong, right):
        folder.mkdir()
    monkeypatch.chdir(wrong)
    outcome = check(shown.wrong, shown.checked, wrong, MADE.get(code))
    assert shown.message in outcome.output.replace(str(wrong), "/srv/trials")
    assert set(re.findall(r"MKG\d{3}", outcome.output)) == {code, *COMPANIONS.get(code, ())}
    assert outcome.exit_code == exit_code
    assert "Traceback" not in outcome.output
    monkeypatch.chdir(right)
    (right / "papers").mkdir()
    (right / "papers" / "note.txt").write_text("Aspirin\n\nIt helps.\n", encoding="utf-8")
    mended = check(shown.right, shown.checked, right, MENDED.get(code))
    assert re.findall(r"MKG\d{3}", mended.output) == []
    assert mended.exit_code == 0, mended.output


def test_an_installation_without_pages_still_says_what_a_code_means(tmp_path: Path) -> None:
    """The title is told with what to do; with pages, the page is given as it stands."""
    with pytest.raises(UsageError, match=r"MKG011 means: unknown key; .* install it again"):
        page_text("MKG011", [tmp_path])
    assert page_text("mkg011 ") == (REFERENCE / "checks" / "MKG011.md").read_text(encoding="utf-8")
