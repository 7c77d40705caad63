"""Discovery: what the metadata of distributions says, read without importing, whatever state it is in."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import pytest
from distributions import STAGES, distribution, imported, module, stage_plugin

from medical_kg import __version__
from medical_kg.orchestration import discovery
from medical_kg.orchestration.discovery import Claim, PluginSettings, find_claims, find_damaged
from medical_kg.orchestration.registry import Installation


@pytest.fixture(autouse=True)
def _judged_anew() -> None:
    """What was said of a requirement in another test is forgotten."""
    discovery._clash.cache_clear()


def claims(folder: Path, **settings: object) -> list[Claim]:
    return list(find_claims(PluginSettings(**settings), [str(folder)]))  # type: ignore[arg-type]


def only(folder: Path, **settings: object) -> Claim:
    (claim,) = claims(folder, **settings)
    return claim


def test_listing_imports_nothing(tmp_path: Path) -> None:
    """A listing names door, name, distribution, version and object, and imports no plugin."""
    stage_plugin(tmp_path, "score", version="2.1")
    claim = only(tmp_path)
    origin = claim.origin
    assert (origin.door, origin.name, origin.object) == (STAGES, "score", "dist_score:Plugin")
    assert (origin.distribution, origin.version, str(origin)) == ("dist-score", "2.1", "dist-score 2.1")
    assert (claim.status, claim.reason, claim.usable) == ("installed", "", True)
    assert imported(tmp_path) == []


def test_metadata_of_others_is_not_read(tmp_path: Path) -> None:
    """Of a distribution without a plugin of ours, nothing but its entry points is read."""
    info = distribution(tmp_path, "other", {"run": "other:main"}, door="console_scripts")
    (info / "METADATA").unlink()
    (info / "METADATA").mkdir()
    stage_plugin(tmp_path, "score")
    assert [claim.origin.name for claim in claims(tmp_path)] == ["score"]


def test_other_doors_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    """Only groups that begin with ``medical_kg.`` are doors, whatever else the file says of us."""
    text = (
        "# medical_kg.stages\nlost = a:b\n[console_scripts]\nx = medical_kg.cli:main\n\n[medical_kg.sources]\ny = m:Y\n"
    )
    distribution(tmp_path, "mixed", text)
    assert [(claim.origin.door, claim.origin.name) for claim in claims(tmp_path)] == [("medical_kg.sources", "y")]


def test_extras_of_old_entry_points_are_allowed(tmp_path: Path) -> None:
    """An entry point may name a module, a nested attribute and extras, as the packaging standard says."""
    distribution(tmp_path, "old", {"a": "pkg.module:Class.inner [extra]", "b": "pkg", "c": "pkg : x"})
    assert all(claim.usable for claim in claims(tmp_path))


def test_the_own_release_is_what_is_installed() -> None:
    """Compatibility is judged by the release that runs; its metadata says the same."""
    core = next(claim for claim in find_claims(PluginSettings()) if claim.origin.distribution == "medical-kg")
    assert core.origin.version == __version__
    assert core.usable


# Compatibility


@pytest.mark.parametrize(
    "requires",
    [
        (),
        ("medical-kg",),
        ("medical-kg>=0.1,<1",),
        ("Medical_KG >= 0.1",),
        ("medical-kg (>=0.1)",),
        ("medical-kg>=0.1.0.dev1",),
        ("other>=99", "medical-kg-readability>=99", "not a requirement"),
        ('medical-kg>=99; python_version < "3"',),
        ('medical-kg>=99; extra == "future"',),
        ("medical-kg[minilm]>=0.1",),
    ],
)
def test_fitting_requirements(tmp_path: Path, requires: tuple[str, ...]) -> None:
    """A plugin fits when its own requirement on medical-kg, where it applies, admits this release."""
    stage_plugin(tmp_path, "score", requires=requires)
    assert only(tmp_path).status == "installed"


@pytest.mark.parametrize("requirement", ["medical-kg>=99", "medical-kg<0.1", 'medical-kg>=99; python_version >= "3"'])
def test_misfitting_requirements(tmp_path: Path, requirement: str) -> None:
    """A plugin for another release is refused before import, naming both releases (scenario 8)."""
    stage_plugin(tmp_path, "future", requires=("lxml>=5", requirement))
    stage_plugin(tmp_path, "score")
    incompatible = next(claim for claim in claims(tmp_path) if claim.origin.name == "future")
    wanted = requirement.partition(";")[0]
    assert (incompatible.status, incompatible.reason) == (
        "incompatible",
        f"it requires {wanted}, this is medical-kg {__version__}",
    )
    assert [claim.origin.name for claim in claims(tmp_path) if claim.usable] == ["score"]


def test_pre_releases_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pre-release of ours satisfies a requirement that its number satisfies, so plugins can be tried against it."""
    monkeypatch.setattr("medical_kg.__version__", "2.0rc1")
    stage_plugin(tmp_path, "score", requires=("medical-kg>=1.0",))
    assert only(tmp_path).usable


@pytest.mark.parametrize("requirement", ["medical-kg >> 3", 'medical-kg>=0.1; python_version ~= "x"'])
def test_unreadable_requirement_on_us(tmp_path: Path, requirement: str) -> None:
    """A requirement on medical-kg that cannot be read is refused, not taken for none."""
    stage_plugin(tmp_path, "score", requires=(requirement,))
    claim = only(tmp_path)
    assert claim.status == "incompatible"
    assert claim.reason.startswith(f"its requirement {requirement!r} cannot be read: ")
    assert "\n" not in claim.reason


# Allow and deny


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, "installed"),
        ({"deny": ["Dist_Score"]}, "blocked"),
        ({"allow": ["dist.score"]}, "installed"),
        ({"allow": ["other"]}, "blocked"),
        ({"allow": []}, "blocked"),
        ({"allow": ["dist-score"], "deny": ["dist-score"]}, "blocked"),
    ],
)
def test_allow_and_deny(tmp_path: Path, settings: dict[str, list[str]], status: str) -> None:
    """Lists of distributions, in any spelling of their names, block before anything is imported; deny wins."""
    stage_plugin(tmp_path, "score")
    claim = only(tmp_path, **settings)
    assert claim.status == status
    lists = "on the deny list" if "deny" in settings else "not on the allow list"
    assert claim.reason == (f"its distribution is {lists} of [plugins]" if status == "blocked" else "")


def test_the_core_needs_no_permission() -> None:
    """An allow list is about strangers; the built-in pack goes only when denied."""
    assert PluginSettings(allow=()).blocks("medical-kg") is None
    assert PluginSettings(deny=("Medical.KG",)).blocks("medical-kg") is not None


# Installed twice


def test_the_first_on_the_path_counts(tmp_path: Path) -> None:
    """A distribution that is installed twice provides what its first copy on the path says, even if that is nothing."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    stage_plugin(first, "score", name="dist", version="2.0")
    stage_plugin(second, "grade", name="dist", version="1.0")
    found = list(find_claims(PluginSettings(), [str(first), str(second)]))
    assert [(claim.origin.name, claim.origin.version) for claim in found] == [("score", "2.0")]
    distribution(first, "dist", {"run": "m:main"}, version="2.0", door="console_scripts")
    assert list(find_claims(PluginSettings(), [str(first), str(second)])) == []


def test_remains_of_an_interrupted_installation(tmp_path: Path) -> None:
    """The folder that pip renames while it upgrades is not a second claim to the same names."""
    now, before = tmp_path / "now", tmp_path / "before"
    now.mkdir()
    stage_plugin(now, "score", name="dist")
    shutil.copytree(now / "dist-1.0.dist-info", before / "~ist-0.9.dist-info")
    for path in ([str(now), str(before)], [str(before), str(now)]):
        assert len(list(find_claims(PluginSettings(), path))) == 1


def test_egg_info(tmp_path: Path) -> None:
    """The metadata of an old editable installation stands in PKG-INFO, and counts."""
    info = distribution(tmp_path, "dist", {"score": "m:Score"}, requires=("medical-kg>=99",))
    egg = info.rename(tmp_path / "dist.egg-info")
    (egg / "METADATA").rename(egg / "PKG-INFO")
    assert (only(tmp_path).origin.version, only(tmp_path).status) == ("1.0", "incompatible")


# Damage


def damaged(folder: Path) -> Claim:
    """The one claim of the damaged distribution; the good one beside it is not harmed."""
    stage_plugin(folder, "good")
    found = {claim.origin.name: claim for claim in claims(folder)}
    assert found.pop("good").usable
    (claim,) = found.values()
    assert claim.status == "broken"
    return claim


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its METADATA has no Name and no Version; install dist-bad anew"),
        (b"Version: 1.0\n\nName: not this one\n", "its METADATA has no Name; install dist-bad anew"),
        (b"Name: dist-bad\nVersion:\n", "its METADATA has no Version; install dist-bad anew"),
        (
            b"Name: dist-bad\nVersion: 1.0\n\n\xff\xfe",
            "its METADATA is damaged: it is not UTF-8; install dist-bad anew",
        ),
    ],
)
def test_damaged_metadata(tmp_path: Path, content: bytes, reason: str) -> None:
    """A plugin whose METADATA is damaged is listed as broken under its folder's name."""
    info = distribution(tmp_path, "dist-bad", {"bad": "m:Bad"})
    (info / "METADATA").write_bytes(content)
    claim = damaged(tmp_path)
    assert (claim.origin.name, claim.origin.distribution, claim.reason) == ("bad", "dist-bad", reason)
    assert (claim.origin.version, claim.detail) == ("1.0" if b"1.0" in content else "", "")


def test_missing_metadata(tmp_path: Path) -> None:
    """A distribution without METADATA is listed as broken."""
    (distribution(tmp_path, "dist-bad", {"bad": "m:Bad"}) / "METADATA").unlink()
    assert "no Name and no Version" in damaged(tmp_path).reason


def test_metadata_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that the system will not give is damage like any other."""
    path = distribution(tmp_path, "dist-bad", {"bad": "m:Bad"}) / "METADATA"
    path.unlink()
    path.symlink_to(path)
    assert damaged(tmp_path).reason.startswith("its METADATA cannot be read: ")


def test_a_blocked_distribution_stays_blocked_when_damaged(tmp_path: Path) -> None:
    """Who denied a distribution need not hear that it is damaged."""
    distribution(tmp_path, "dist-bad", "[medical_kg.sources]\nbad\n")
    assert only(tmp_path, deny=["dist-bad"]).status == "blocked"


@pytest.mark.parametrize(
    "line", ["bad", "bad =", "= m:Bad", "bad = m:", "bad = no module", "b:ad = m:Bad", "bad = m;x"]
)
def test_invalid_line(tmp_path: Path, line: str) -> None:
    """An invalid line is a broken entry, named with its place; the others of its distribution count."""
    distribution(tmp_path, "dist", f"[{STAGES}]\nfine = m:Fine\n{line}\n")
    found = {claim.status: claim for claim in claims(tmp_path)}
    assert found["installed"].origin.name == "fine"
    assert found["broken"].reason == f"line 3 of its entry_points.txt is {line!r}, not name = module:attribute"


def test_the_same_name_twice_in_one_file(tmp_path: Path) -> None:
    """A distribution that gives one name to two objects has said nothing; to say the same twice is harmless."""
    distribution(tmp_path, "dist", f"[{STAGES}]\na = m:A\nb = m:B\na = m:C\nb = m:B\n[medical_kg.sources]\na = m:S\n")
    found = {(claim.origin.door, claim.origin.name): claim for claim in claims(tmp_path)}
    twice = found.pop((STAGES, "a"))
    assert (twice.status, twice.reason) == ("broken", "its entry_points.txt names it twice: 'm:A' and 'm:C'")
    assert [claim.usable for claim in found.values()] == [True, True]


def test_junk_in_entry_points(tmp_path: Path) -> None:
    """What can be made out of a damaged file is listed as broken, not dropped and not trusted."""
    info = distribution(tmp_path, "dist-bad", "")
    (info / "entry_points.txt").write_bytes(f"[{STAGES}]\nbad = m:Bad\n# \xff\xfe".encode("latin-1"))
    claim = damaged(tmp_path)
    assert claim.origin.name == "bad"
    assert claim.reason == "its entry_points.txt is damaged: it is not UTF-8; install dist-bad anew"


def test_nothing_but_junk_in_entry_points(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where not even a name can be made out, the log says whose plugins are missing."""
    info = distribution(tmp_path, "dist-bad", "")
    (info / "entry_points.txt").write_bytes(b"\x00\xff\xfe\x80")
    stage_plugin(tmp_path, "good")
    with caplog.at_level(logging.WARNING):
        assert only(tmp_path).origin.name == "good"
    (record,) = caplog.records
    assert "'dist-bad'" in record.getMessage()
    assert "not UTF-8" in record.getMessage()


def test_a_folder_without_a_name(tmp_path: Path) -> None:
    """A metadata folder that nobody could name harms no listing."""
    (tmp_path / ".dist-info").mkdir()
    (tmp_path / "-.dist-info").mkdir()
    stage_plugin(tmp_path, "good")
    assert only(tmp_path).origin.name == "good"


# Faults of others (research on peers, section 4) that a listing could have


def test_an_edited_file_is_seen_at_once(tmp_path: Path) -> None:
    """A listing is never older than the files: an edit shows in the next one, without waiting."""
    stage_plugin(tmp_path, "score", name="dist")
    assert Installation(path=[str(tmp_path)]).stages.names() == ("score",)
    distribution(tmp_path, "dist", {"grade": "m:Grade"})
    assert Installation(path=[str(tmp_path)]).stages.names() == ("grade",)


def test_a_denied_plugin_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken plugin that is denied is not imported, so it cannot fail."""
    module(tmp_path, "bad", "raise RuntimeError")
    distribution(tmp_path, "dist", {"bad": "bad:Bad"})
    monkeypatch.syspath_prepend(tmp_path)
    assert "bad" not in Installation(PluginSettings(deny=("dist",)), path=[str(tmp_path)]).stages
    assert imported(tmp_path) == []
    assert "bad" not in sys.modules


# Reading


def test_a_folder_in_place_of_the_metadata(tmp_path: Path) -> None:
    """What is no file has nothing to say."""
    info = distribution(tmp_path, "odd", {"odd": "odd:Plugin"})
    (info / "METADATA").unlink()
    (info / "METADATA").mkdir()
    claim = only(tmp_path)
    assert (claim.status, claim.reason) == ("broken", "its METADATA has no Name and no Version; install odd anew")


@pytest.mark.parametrize("lines", [1, 3000, 20_000])
def test_files_of_any_size_and_line_ending(tmp_path: Path, lines: int) -> None:
    """Long files are read to their end, and lines may end as Windows ends them."""
    points = "".join(f"type-{number} = module_{number}:Plugin\r\n" for number in range(lines))
    info = distribution(tmp_path, "long", f"[{STAGES}]\r\n{points}")
    (info / "entry_points.txt").write_bytes(f"[{STAGES}]\r\n{points}".encode())
    (info / "METADATA").write_bytes(b"Name: long\r\nVersion: 3\r\n\r\nName: not this one\r\n")
    found = claims(tmp_path)
    assert len(found) == lines
    assert str(found[-1].origin) == "long 3"
    assert found[-1].place == f"{info / 'entry_points.txt'}:{lines + 1}"


def test_a_distribution_in_an_archive(tmp_path: Path) -> None:
    """What Python can import from an archive is listed from it as well."""
    (tmp_path / "content").mkdir()
    stage_plugin(tmp_path / "content", "score")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "content")
    (claim,) = find_claims(PluginSettings(), [archive])
    assert (str(claim.origin), claim.status) == ("dist-score 1.0", "installed")
    assert claim.place == f"{archive}/dist_score-1.0.dist-info/entry_points.txt:2"


def test_what_cannot_be_listed(tmp_path: Path) -> None:
    """A distribution whose entry points are damaged gives no claim where none of ours can be made out, but is named."""
    stage_plugin(tmp_path, "score")
    for name, content in {
        "junk": b"\xff\xfe",
        "other": b"[x]\ny = z:q\n",
        "ours": b"[medical_kg.sources]\n\xff = a:b\n",
    }.items():
        (distribution(tmp_path, name, {}) / "entry_points.txt").write_bytes(content)
    assert list(find_damaged([str(tmp_path)])) == [("junk", "its entry_points.txt is damaged: it is not UTF-8")]


def test_a_requirement_is_judged_by_the_release_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same requirement is judged anew for another release."""
    stage_plugin(tmp_path, "score", requires=("medical-kg<5",))
    assert only(tmp_path).usable
    monkeypatch.setattr("medical_kg.__version__", "5.0")
    assert only(tmp_path).status == "incompatible"
