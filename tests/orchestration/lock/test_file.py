"""The lock file: written, read, and held against what is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributions import STAGES, distribution, importable, module, stage_plugin

from medical_kg.orchestration import Installation, PluginSettings, Workspace, lock_plugins, verify_plugins
from medical_kg.orchestration.contract.errors import SettingsError, StorageError, UsageError
from medical_kg.orchestration.lock import lock_path, make_lock, read_lock

SOURCES = "medical_kg.sources"

OWN_STAGE = """
from medical_kg import Stage, StageMetadata

class Own(Stage):
    metadata = StageMetadata(stage_type="own-locked", version="1", description="Own.")

    def run(self, ctx):
        return None
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into."""
    with importable(tmp_path / "site") as folder:
        folder.mkdir()
        yield folder


def workspace(site: Path, **settings: object) -> Workspace:
    """A workspace whose plugins are those in ``site``, found anew."""
    installation = Installation(PluginSettings(**settings), [str(site)])  # type: ignore[arg-type]
    return Workspace(site.parent / "project" / ".medical-kg", installation=installation)


def source(site: Path, name: str, version: str = "1.0", text: str = "Thing = 1\n") -> None:
    module(site, name, text)
    distribution(site, name, {name: f"{name}:Thing"}, door=SOURCES, version=version)


def test_where_it_stands(tmp_path: Path) -> None:
    """It stands beside the settings; without any, beside the workspace, where they would be looked for too."""
    assert lock_path(Workspace(tmp_path / "a")) == tmp_path / "medical_kg.lock"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "medical_kg.toml").write_text("")
    assert lock_path(Workspace(tmp_path / "a")) == tmp_path / "a" / "medical_kg.lock"


def test_it_is_stable(site: Path) -> None:
    """The same plugins give the same text, sorted, with nothing of the machine in it; then nothing differs."""
    stage_plugin(site, "score", version="2.1")
    source(site, "other")
    (site.parent / "project").mkdir()
    lock, left_out = lock_plugins(workspace(site))
    text = lock_path(workspace(site)).read_text()
    assert (lock_plugins(workspace(site))[0].to_json(), left_out) == (text, ())
    assert json.loads(text) == {"version": 1, "plugins": json.loads(text)["plugins"]}
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"
    assert str(site.parent) not in text
    kept = json.loads(text)["plugins"][STAGES]["score"]
    assert (sorted(kept), kept["version"]) == (["behaviour", "config", "distribution", "source", "version"], "2.1")
    assert read_lock(workspace(site)) == lock
    assert verify_plugins(workspace(site)) == ()


def test_each_difference_has_old_and_new(site: Path) -> None:
    """Another version, source, plugin more or plugin less is named, with what was and what is."""
    for name in ("same", "newer", "edited", "gone"):
        source(site, name)
    (site.parent / "project").mkdir()
    before = lock_plugins(workspace(site))[0].plugins[SOURCES]
    for path in site.glob("gone-*/*"):
        path.unlink()
    distribution(site, "newer", {"newer": "newer:Thing"}, door=SOURCES, version="1.0")
    (site / "newer-1.0.dist-info" / "METADATA").write_text("Name: newer\nVersion: 2.0\n\n")
    source(site, "added")
    other = workspace(site)
    (site / "edited.py").write_text("Thing = 2\n")
    from medical_kg.orchestration.lock.entries import _source_of

    _source_of.cache_clear()
    now = make_lock(other.installation)[0].plugins[SOURCES]
    found = verify_plugins(other)
    assert [(one.name, one.field, one.old, one.new) for one in found] == [
        ("added", "plugin", "", "added 1.0"),
        ("edited", "source", before["edited"].source, now["edited"].source),
        ("gone", "plugin", "gone 1.0", ""),
        ("newer", "version", "1.0", "2.0"),
    ]
    assert list(map(str, found)) == [
        "'added' (medical_kg.sources) is new: added 1.0",
        f"'edited' (medical_kg.sources) source {before['edited'].source[:12]} -> {now['edited'].source[:12]}",
        "'gone' (medical_kg.sources) is gone: gone 1.0",
        "'newer' (medical_kg.sources) version 1.0 -> 2.0",
    ]


def test_what_cannot_be_used_is_named(site: Path) -> None:
    """Broken, blocked and incompatible plugins are left out, each with its reason."""
    stage_plugin(site, "score")
    stage_plugin(site, "denied", name="denied")
    module(site, "bad", "raise ValueError('no')\n")
    distribution(site, "bad", {"bad": "bad:Plugin"})
    lock, left_out = make_lock(workspace(site, deny=["denied"]).installation)
    assert sorted(lock.plugins[STAGES]) == ["score"]
    broken, denied = left_out
    assert broken == "'bad' (medical_kg.orchestration.stages) from bad 1.0 is quarantined: ValueError: no"
    assert denied.startswith(
        "'denied:denied' (medical_kg.orchestration.stages): denied 1.0 is blocked: its distribution"
    )
    assert make_lock(workspace(site, deny=["denied", "bad", "dist-score"]).installation)[0].plugins == {}


def test_claims_to_one_name(site: Path) -> None:
    """Of several, the one that the name means has the name; each other is written with its distribution."""
    stage_plugin(site, "both", name="one")
    stage_plugin(site, "both", name="two")
    assert sorted(make_lock(workspace(site).installation)[0].plugins[STAGES]) == ["one:both", "two:both"]
    preferring = make_lock(workspace(site, prefer={"both": "two"}).installation)[0].plugins[STAGES]
    assert {name: entry.distribution for name, entry in preferring.items()} == {"both": "two", "one:both": "one"}


def test_a_stage_type_of_the_project_s_own(tmp_path: Path) -> None:
    """A local stage type is locked under its plain name, which it means, also when locking is what loads it."""
    module(tmp_path, "own_locked", OWN_STAGE)
    settings = PluginSettings(local={STAGES: {"own-locked": "own_locked:Own"}})
    with importable(tmp_path / "other"):  # forgets the module afterwards
        lock, left_out = make_lock(Installation(settings, [], tmp_path))
    assert (list(lock.plugins[STAGES]), left_out) == (["own-locked"], ())


def test_no_lock(site: Path) -> None:
    """Without a file there is nothing to verify; the message says how to write one."""
    with pytest.raises(UsageError, match=r"there is no .*medical_kg\.lock; write it: medical-kg plugins lock"):
        verify_plugins(workspace(site))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is no lock: Invalid JSON"),
        (b"\xff", "is no lock: Invalid JSON"),
        (b'{"version": 2, "plugins": {}}', "is no lock: version: Input should be 1"),
        (b'{"plugins": {"a": {"b": {"version": 3}}}}', r"is no lock: plugins\.a\.b\.distribution: Field required"),
    ],
)
def test_a_damaged_lock(site: Path, content: bytes, said: str) -> None:
    """A file that is no lock of this kind is told by its field, with what to do."""
    path = lock_path(workspace(site))
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=said) as caught:
        verify_plugins(workspace(site))
    assert str(caught.value).endswith("write it anew: medical-kg plugins lock")


def test_a_lock_that_cannot_be_read_or_written(site: Path) -> None:
    """A folder in its place is told as what it is."""
    lock_path(workspace(site)).mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"medical_kg\.lock cannot be read: Is a directory"):
        read_lock(workspace(site))
    with pytest.raises(StorageError, match=r"medical_kg\.lock cannot be written: Is a directory"):
        lock_plugins(workspace(site))
