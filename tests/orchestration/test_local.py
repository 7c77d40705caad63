"""Local modules: plugins of a project's own, named in its settings and found beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributions import STAGES, distribution, importable, imported, module

from medical_kg.orchestration import local
from medical_kg.orchestration.contract.errors import PluginBroken, PluginConflict, SettingsError
from medical_kg.orchestration.discovery import PluginSettings
from medical_kg.orchestration.local import source_hash
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import Workspace

SOURCES = "medical_kg.sources"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project's folder; what is loaded from it is forgotten afterwards."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    local._FINDER.folders.clear()
    local._FINDER.sources.clear()


def own(folder: Path, door: str = "sources", path: list[str] | None = None, **entries: str) -> Installation:
    return Installation(PluginSettings(local={door: entries}), path=path or [], folder=folder)


def broken(installation: Installation, name: str = "thing") -> str:
    """Why a local plugin cannot be used: known before it is loaded."""
    (claim,) = installation.door(SOURCES).claims()
    assert (claim.status, claim.origin.source, claim.origin.version) == ("broken", "", "")
    with pytest.raises(PluginBroken) as caught:
        installation.get(SOURCES, name)
    assert claim.reason in str(caught.value)
    return claim.reason


# Listing and loading


@pytest.mark.parametrize("door", ["sources", SOURCES])
def test_a_module_is_listed_without_import(folder: Path, door: str) -> None:
    """It is listed with the distribution ``local`` and its source's hash, and imported when first used."""
    module(folder, "own_thing", "class Thing: pass\n")
    installation = own(folder, door, thing="own_thing:Thing")
    (claim,) = installation.door(SOURCES).claims()
    origin = claim.origin
    assert (origin.distribution, origin.object, claim.status) == ("local", "own_thing:Thing", "installed")
    assert origin.source == source_hash(folder / "own_thing.py")
    assert (origin.version, len(origin.source)) == (origin.source[:12], 64)
    assert imported(folder) == []
    loaded = installation.get(SOURCES, "thing")
    assert (loaded.__module__, loaded) == ("own_thing", installation.get(SOURCES, "local:thing"))
    assert sys.modules["own_thing"].Thing is loaded
    assert str(folder) not in sys.path


def test_a_package_may_import_its_own_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's modules are found in it, by relative and by full name, and no translation of them is stored."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    package = folder / "own_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner import deep\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "deep.py").write_text("Thing = 7\n")
    (package / "later.py").write_text("import own_package.inner.deep as found\nThing = found.Thing + 1\n")
    installation = own(folder, thing="own_package.inner.deep:Thing", later="own_package.later:Thing")
    assert (installation.get(SOURCES, "thing"), installation.get(SOURCES, "later")) == (7, 8)
    assert not list(folder.rglob("*.pyc"))


def test_the_hash_covers_every_source_file_by_name(folder: Path) -> None:
    """The hash of a package changes with any ``.py`` file's content or name, and with nothing else."""
    package = folder / "own_package"
    (package / "sub.py").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("x")
    first = source_hash(package / "__init__.py")
    (package / "data.json").write_text("{}")
    assert source_hash(package / "__init__.py") == first
    (package / "a.py").rename(package / "b.py")
    renamed = source_hash(package / "__init__.py")
    (package / "b.py").write_text("y")
    assert len({first, renamed, source_hash(package / "__init__.py")}) == 3
    assert source_hash(package / "b.py") != source_hash(package / "__init__.py")


def test_a_stage_of_ones_own(folder: Path) -> None:
    """The door's rules hold for a local module: its stage type has the provenance and the hash."""
    source = "from medical_kg import Stage, StageMetadata\nclass Own(Stage):\n"
    source += "    metadata = StageMetadata(stage_type='own', version='1', description='Own.')\n"
    module(folder, "own_stage", source + "    def run(self, ctx): return None\n")
    found = own(folder, "stages", own="own_stage:Own").stages.get("own")
    assert (found.origin.door, found.origin.source) == (STAGES, source_hash(folder / "own_stage.py"))


# Edits


def test_a_new_process_sees_an_edit(folder: Path) -> None:
    """An edit of the same length in the same second gives another hash and runs: nothing stale is used."""
    code = (
        "import sys; from pathlib import Path; from medical_kg.orchestration.registry import *\n"
        "i = Installation(PluginSettings(local={'sources': {'thing': 'own_thing:Thing'}}), folder=Path(sys.argv[1]))\n"
        "print(i.get('medical_kg.sources', 'thing'), i.door('medical_kg.sources').claim('thing').origin.source)\n"
    )
    said = []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in (1, 2):
        (folder / "own_thing.py").write_text(f"Thing = {number}\n")
        os.utime(folder / "own_thing.py", (1_000_000_000, 1_000_000_000))
        command = [sys.executable, "-c", code, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        said.append(done.stdout.split())
    assert [value for value, _ in said] == ["1", "2"]
    assert said[0][1] != said[1][1]


def test_the_hash_is_of_what_was_loaded(folder: Path) -> None:
    """A file edited between listing and loading has the hash of the load, and keeps it in this process."""
    file = folder / "own_thing.py"
    file.write_text("Thing = 1\n")
    installation = own(folder, thing="own_thing:Thing")
    before = installation.door(SOURCES).claim("thing").origin
    file.write_text("Thing = 2\n")
    assert installation.get(SOURCES, "thing") == 2
    after = installation.door(SOURCES).claim("thing").origin
    assert (before.source != after.source, after.source) == (True, source_hash(file))
    assert after.version == after.source[:12]
    file.write_text("Thing = 3\n")
    again = own(folder, thing="own_thing:Thing")
    assert again.door(SOURCES).claim("thing").origin == after
    assert again.get(SOURCES, "thing") == 2


def test_a_module_that_fails_may_be_mended(folder: Path) -> None:
    """One that raises is quarantined; after an edit another installation in the same process loads it anew."""
    file = folder / "own_thing.py"
    file.write_text("raise SystemExit(3)\n")
    with pytest.raises(PluginBroken, match=r"from local [0-9a-f]{12} is quarantined: SystemExit: 3"):
        own(folder, thing="own_thing:Thing").get(SOURCES, "thing")
    file.write_text("Thing = 3\n")
    assert own(folder, thing="own_thing:Thing").get(SOURCES, "thing") == 3


# What cannot be used


def test_a_missing_module(folder: Path) -> None:
    """A module that is not in the folder, or a folder without ``__init__.py``, is told with what to do."""
    (folder / "own_thing").mkdir()
    assert broken(own(folder, thing="own_thing:Thing")) == (
        f"there is no own_thing.py and no own_thing/__init__.py in {folder}; write one, "
        "or correct [plugins.local.sources] thing in medical_kg.toml"
    )
    assert "there is no own_thing.py" in broken(own(folder / "nowhere", thing="own_thing:Thing"))


def test_a_source_that_cannot_be_read(folder: Path) -> None:
    """A file that cannot be read is named."""
    package = folder / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "gone.py").symlink_to(folder / "nowhere.py")
    reason = f"its source {package / 'gone.py'} cannot be read: No such file or directory; make it readable"
    assert broken(own(folder, thing="own_package:Thing")) == reason


def test_a_module_that_goes_away_before_it_is_loaded(folder: Path) -> None:
    """What happens between listing and loading is the plugin's, and is told."""
    module(folder, "own_thing", "Thing = 1\n")
    installation = own(folder, thing="own_thing:Thing")
    assert installation.names(SOURCES) == ("thing",)
    (folder / "own_thing.py").unlink()
    with pytest.raises(PluginBroken, match=r"there is no own_thing\.py"):
        installation.get(SOURCES, "thing")


def test_an_imported_module_of_the_same_name(folder: Path) -> None:
    """A module of the standard library or another one that is imported is never replaced, and both are named."""
    module(folder, "json", "Thing = 1\n")
    reason = broken(own(folder, thing="json:Thing"))
    assert reason.startswith(
        f"the module {folder / 'json.py'} has the name of another one, {sys.modules['json'].__file__};"
    )
    assert reason.endswith("rename it, or correct [plugins.local.sources] thing in medical_kg.toml")
    module(folder, "sys", "Thing = 1\n")
    assert "another one, which is imported as 'sys'; rename it" in broken(own(folder, thing="sys:Thing"))


def test_an_installed_module_of_the_same_name(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A module that could be imported, though it is not yet, counts as well; one built into Python too."""
    module(folder, "own_thing", "Thing = 1\n")
    with importable(tmp_path_factory.mktemp("site")) as site:
        module(site, "own_thing", "Thing = 2\n")
        assert f"another one, {site / 'own_thing.py'}; rename it" in broken(own(folder, thing="own_thing:Thing"))
        assert imported(site) == []
    if "xxsubtype" in sys.builtin_module_names:
        module(folder, "xxsubtype", "Thing = 1\n")
        assert "another one, which is part of Python (built-in)" in broken(own(folder, thing="xxsubtype:Thing"))


def test_the_same_module_on_the_path(folder: Path) -> None:
    """With the settings' folder on ``sys.path``, as some tools put it there, the module is its own and no other."""
    module(folder, "own_thing", "Thing = 1\n")
    with importable(folder):
        assert own(folder, thing="own_thing:Thing").get(SOURCES, "thing") == 1


def test_a_plain_folder_on_the_path_gives_way(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder of the same name without ``__init__.py`` is nobody's module; nor is what an importer cannot name."""
    module(folder, "own_thing", "Thing = 1\n")
    with importable(tmp_path_factory.mktemp("site")) as site:
        (site / "own_thing").mkdir()
        assert own(folder, thing="own_thing:Thing").get(SOURCES, "thing") == 1


def test_an_importer_that_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An importer of somebody else that cannot answer does not make the module unusable."""

    class Failing:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "own_thing" and path is None and own_thing not in local._FINDER.folders:
                raise ImportError

    own_thing = "own_thing"
    monkeypatch.setattr(sys, "meta_path", [Failing, *sys.meta_path])
    module(folder, "own_thing", "Thing = 1\n")
    assert own(folder, thing="own_thing:Thing").get(SOURCES, "thing") == 1


def test_two_projects_in_one_process(folder: Path) -> None:
    """A module of another project that was loaded under the name is named, not replaced."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        module(folder / name, "own_thing", f"Thing = {name!r}\n")
    assert own(folder / "a", thing="own_thing:Thing").get(SOURCES, "thing") == "a"
    other = folder / "a" / "own_thing.py"
    assert f"another one, {other}; rename it" in broken(own(folder / "b", thing="own_thing:Thing"))


# Competing for names


def test_it_competes_like_any_other(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A name that a distribution has too is a conflict, unless a preference or the written distribution decides."""
    module(folder, "own_thing", "Thing = 'own'\n")
    site = tmp_path_factory.mktemp("site")
    with importable(site):
        module(site, "theirs", "Thing = 'theirs'\n")
        distribution(site, "dist", {"thing": "theirs:Thing"}, door=SOURCES)
        both = own(folder, path=[str(site)], thing="own_thing:Thing")
        with pytest.raises(PluginConflict, match=r"dist 1\.0 and local [0-9a-f]{12}; choose one"):
            both.get(SOURCES, "thing")
        assert (both.get(SOURCES, "local:thing"), both.get(SOURCES, "dist:thing")) == ("own", "theirs")
        settings = PluginSettings(local={"sources": {"thing": "own_thing:Thing"}}, prefer={"thing": "local"})
        assert Installation(settings, [str(site)], folder).get(SOURCES, "thing") == "own"


def test_the_word_local_is_kept(folder: Path) -> None:
    """A distribution of this name would be taken for the project's own."""
    distribution(folder, "Local", {"thing": "theirs:Thing"}, door=SOURCES)
    (claim,) = Installation(path=[str(folder)]).door(SOURCES).claims()
    assert (claim.status, "the name 'local' stands for modules named in medical_kg.toml" in claim.reason) == (
        "broken",
        True,
    )


# Settings


def test_a_workspace_finds_them_beside_its_settings(folder: Path) -> None:
    """The folder is that of the settings file, wherever the process runs."""
    module(folder, "own_thing", "Thing = 1\n")
    (folder / "medical_kg.toml").write_text('[plugins.local.sources]\nthing = "own_thing:Thing"\n')
    assert Workspace(folder / ".medical-kg").installation.get(SOURCES, "thing") == 1


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            '[plugins.local.sourcs]\nx = "a:b"',
            "[plugins] local.sourcs: there is no such door; did you mean 'sources' or 'stores'?",
        ),
        ('[plugins.local.sources]\nx = "a"', "[plugins] local.sources.x: must be 'module:attribute', not 'a'"),
        ('[plugins.local.sources]\nx = "a b:c"', "[plugins] local.sources.x: must be 'module:attribute', not 'a b:c'"),
        ("[plugins.local.sources]\nx = 3", "[plugins] local.sources.x: Input should be a valid string"),
        (
            '[plugins.local.sources]\n"a:b" = "a:b"',
            "[plugins] local.sources.a:b: a plugin's name is a text without a colon",
        ),
        (
            '[plugins.local.sources]\nx = "a:b"\n[plugins.local."medical_kg.sources"]\ny = "a:b"',
            "[plugins] local: medical_kg.sources has two tables; write one",
        ),
        ('[plugins]\non_lock_mismatch = "no"', "[plugins] on_lock_mismatch: Input should be 'warn' or 'refuse'"),
    ],
)
def test_wrong_settings_name_the_field(folder: Path, written: str, said: str) -> None:
    """A wrong table or entry is told by its place in the file."""
    (folder / "medical_kg.toml").write_text(written)
    with pytest.raises(SettingsError) as caught:
        Workspace(folder)
    assert str(caught.value) == f"{folder / 'medical_kg.toml'}: {said}"
