"""The registry over distributions as an installer leaves them: looking up, loading, quarantine, conflicts."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributions import STAGES, distribution, importable, imported, module, stage_plugin
from support import Gate, Shout, Whisper

from medical_kg.orchestration.contract.errors import MetadataError, PluginBroken, PluginConflict, PluginNotFound
from medical_kg.orchestration.registry import Installation, PluginSettings, StageType

SOURCES = "medical_kg.sources"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into."""
    with importable(tmp_path):
        yield tmp_path


def installed(folder: Path, **settings: Any) -> Installation:
    return Installation(PluginSettings(**settings), path=[str(folder)])


def why(installation: Installation, name: str, door: str = STAGES) -> str:
    """Why a name is not found."""
    with pytest.raises(PluginNotFound) as caught:
        installation.get(door, name)
    assert (caught.value.door, caught.value.name, caught.value.exit_code) == (door, name, 2)
    return str(caught.value)


# Listing and loading


def test_an_outside_type(folder: Path) -> None:
    """A package's one line makes its type available, with provenance, and taking it away makes it unknown (scenario 1)."""
    stage_plugin(folder, "score", version="2.1")
    installation = installed(folder)
    assert installation.doors() == (STAGES,)
    assert (installation.stages.names(), "score" in installation.stages) == (("score",), True)
    assert imported(folder) == []
    found = installation.stages.get("score")
    assert isinstance(found, StageType)
    assert (found.name, found.cls.__name__, found.metadata.stage_type) == ("score", "Plugin", "score")
    assert found.origin == installation.stages.claim("score").origin
    assert str(found.origin) == "dist-score 2.1"
    for path in (folder / "dist_score-2.1.dist-info").iterdir():
        path.unlink()
    stage_plugin(folder, "grade")
    assert "did you mean" not in why(installed(folder), "score")
    assert "no installed distribution provides it; known: grade" in why(installed(folder), "score")


def test_only_what_is_used_is_imported(folder: Path) -> None:
    """With 200 types installed, using 3 imports 3 modules, each once (scenario 9)."""
    for number in range(200):
        stage_plugin(folder, f"type-{number}")
    stages = installed(folder).stages
    assert len(stages.names()) == 200
    assert "type-199" in stages
    for name in ("type-3", "type-33", "type-133", "type-3"):
        assert stages.get(name) is stages.get(f"dist-{name}:{name}")
    assert imported(folder) == ["dist_type_3", "dist_type_33", "dist_type_133"]


def test_other_doors_give_the_object_itself(folder: Path) -> None:
    """A door whose contract stands elsewhere gives what the entry point names, a module or a None too."""
    module(folder, "things", "thing = object()\nnothing = None\n")
    distribution(folder, "dist", {"thing": "things:thing", "nothing": "things:nothing", "all": "things"}, door=SOURCES)
    installation = installed(folder)
    assert installation.names(SOURCES) == ("all", "nothing", "thing")
    assert installation.get(SOURCES, "thing") is sys.modules["things"].thing
    assert installation.get(SOURCES, "nothing") is None
    assert installation.get(SOURCES, "nothing") is None
    assert installation.get(SOURCES, "all") is sys.modules["things"]
    assert installation.door(SOURCES) is installation.door(SOURCES)
    assert installation.names("medical_kg.empty") == ()


def test_a_name_that_is_no_text_is_not_there(folder: Path) -> None:
    """``in`` answers whatever it is asked."""
    assert 3 not in installed(folder).stages


def test_threads_load_once(folder: Path) -> None:
    """Threads that ask at once get the same object, made once; a broken plugin is tried once."""
    slow = "import time\ntime.sleep(0.05)\n"
    module(folder, "slow", slow + "class Thing: pass\n")
    module(folder, "fails", slow + "raise RuntimeError('no')\n")
    distribution(folder, "dist", {"slow": "slow:Thing", "fails": "fails:Thing"}, door=SOURCES)
    installation, got = installed(folder), []
    start = threading.Barrier(4)

    def ask(name: str) -> None:
        start.wait()
        try:
            got.append(installation.get(SOURCES, name))
        except PluginBroken as error:
            got.append(str(error))

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("slow", "slow", "fails", "fails")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 2
    assert sorted(imported(folder)) == ["fails", "slow"]


def test_a_plugin_may_ask_for_another_while_it_is_imported(folder: Path) -> None:
    """Loading is reentrant."""
    module(folder, "inner", "class Thing: pass\n")
    module(folder, "outer", "import registry_of_test\nThing = registry_of_test.get('medical_kg.sources', 'inner')\n")
    distribution(folder, "dist", {"inner": "inner:Thing", "outer": "outer:Thing"}, door=SOURCES)
    installation = installed(folder)
    sys.modules["registry_of_test"] = installation  # type: ignore[assignment]  # stands in for a module
    try:
        assert installation.get(SOURCES, "outer") is installation.get(SOURCES, "inner")
    finally:
        del sys.modules["registry_of_test"]


# Quarantine

STAGE = "from medical_kg import Stage, StageMetadata\n"
METADATA = '    metadata = StageMetadata(stage_type={!r}, version="1.0", description="x")\n'
BAD = {
    "import-error": ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    "exits": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "odd-exception": ("class Odd(BaseException): pass\nraise Odd\n", "Odd"),
    "speechless": (
        "class Speechless(Exception):\n    def __str__(self): raise ValueError\nraise Speechless\n",
        "Speechless: its message cannot be shown",
    ),
    "absent": ("Other = 1\n", "AttributeError: module 'bad_absent' has no attribute 'Plugin'"),
    "no-class": (
        "Plugin = 3\n",
        (
            "MetadataError: 'no-class' from bad 1.0: entry point='bad_no_class:Plugin' is refused: "
            "must name a subclass of medical_kg.Stage"
        ),
    ),
    "no-stage": (
        "class Plugin: pass\n",
        (
            "MetadataError: 'no-stage' from bad 1.0: entry point='bad_no_stage:Plugin' is refused: "
            "must name a subclass of medical_kg.Stage"
        ),
    ),
    "no-metadata": (
        f"{STAGE}class Plugin(Stage): metadata = {{}}\n",
        (
            "MetadataError: 'no-metadata' from bad 1.0: metadata={} is refused: "
            "the class needs a StageMetadata record named metadata"
        ),
    ),
    "wrong-name": (
        f"{STAGE}class Plugin(Stage):\n{METADATA.format('other')}    def run(self, ctx): pass\n",
        (
            "MetadataError: 'wrong-name' from bad 1.0: stage_type='other' is refused: "
            "must equal the entry point's name 'wrong-name'"
        ),
    ),
    "no-method": (
        f"{STAGE}class Plugin(Stage):\n{METADATA.format('no-method')}    def process(self, ctx, item): pass\n",
        "MetadataError: 'no-method' from bad 1.0: mode='batch' is refused: the class must define run()",
    ),
    "invalid-metadata": (
        f"{STAGE}class Plugin(Stage):\n{METADATA.format('Invalid')}",
        (
            "MetadataError: stage type 'Invalid': stage_type='Invalid' is refused: "
            "must be lower-case words joined by hyphens, e.g. 'ir-validation'"
        ),
    ),
}


@pytest.fixture
def bad(folder: Path) -> Installation:
    """Every bad plugin in one distribution, one more with a broken line, and a slow and a good one beside them."""
    for name, (source, _) in BAD.items():
        module(folder, f"bad_{name.replace('-', '_')}", source)
    lines = "".join(f"{name} = bad_{name.replace('-', '_')}:Plugin\n" for name in BAD)
    distribution(folder, "bad", f"[{STAGES}]\n{lines}no line of ours\n")
    stage_plugin(folder, "good")
    module(
        folder,
        "slow",
        f"import time\ntime.sleep(0.1)\n{STAGE}class Plugin(Stage):\n{METADATA.format('slow')}    def run(self, ctx): pass\n",
    )
    distribution(folder, "slow", {"slow": "slow:Plugin"})
    return installed(folder)


def test_one_bad_plugin_harms_no_other(bad: Installation, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is one broken claim and one line of the log; the good and the slow one work (scenario 6)."""
    with caplog.at_level(logging.WARNING):
        for name, (_, reason) in BAD.items():
            for _again in range(2):
                with pytest.raises(PluginBroken) as caught:
                    bad.stages.get(name)
                assert str(caught.value) == f"{name!r} ({STAGES}) from bad 1.0 is quarantined: {reason}"
                assert caught.value.reason == reason
                assert caught.value.detail.startswith("Traceback (most recent call last)")
                assert "bad_" in caught.value.detail or name in caught.value.detail
    assert bad.stages.names() == ("good", "slow")
    assert [bad.stages.get(name).name for name in ("good", "slow")] == ["good", "slow"]
    broken = {claim.origin.name: claim.reason for claim in bad.stages.claims() if claim.status == "broken"}
    assert broken == {name: reason for name, (_, reason) in BAD.items()} | {
        "no line of ours": "line 13 of its entry_points.txt is 'no line of ours', not name = module:attribute"
    }
    told = {f"plugin {name!r} of {STAGES} from bad 1.0 is quarantined: {reason}" for name, (_, reason) in BAD.items()}
    assert (len(caplog.records), {record.getMessage() for record in caplog.records}) == (len(BAD), told)
    assert len(imported(folder)) == len(set(imported(folder))) == len(BAD) + 2


def test_who_does_not_ask_hears_nothing(bad: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """A misspelt or a good name says nothing of the broken plugins that are installed beside it."""
    assert "did you mean 'good'" in why(bad, "goood")
    assert bad.stages.get("good")
    assert caplog.records == []


def test_a_class_is_asked_for_the_method_of_its_mode(folder: Path) -> None:
    """What a class must define follows from its metadata alone; inheriting it is as good."""
    for name, base in (("base", Shout), ("derived", type("Derived", (Shout,), {}))):
        installed(folder).stages.add("shout", base, distribution=name)


@pytest.mark.parametrize("lacking", ["kept", "forget"])
def test_a_stage_that_keeps_things_can_be_asked(folder: Path, lacking: str) -> None:
    """One that says so has both methods; without saying so it needs none."""
    metadata = dataclasses.replace(Shout.metadata, keeps=True)
    methods = {name: lambda *_: {} for name in ("kept", "forget") if name != lacking}
    with pytest.raises(PluginBroken, match=rf"keeps=True is refused: the class must define {lacking}\(\)"):
        installed(folder).stages.add("shout", type("Keeping", (Shout,), {"metadata": metadata, **methods}))


def test_ctrl_c_is_not_the_plugin_s_fault(folder: Path) -> None:
    """A real Ctrl-C while a plugin is imported stops the program and quarantines nothing."""
    source = "import os, signal, sys, time\nif not hasattr(sys, 'of_test'):\n"
    source += "    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(1)\nThing = 1\n"
    module(folder, "interrupted", source)
    distribution(folder, "dist", {"thing": "interrupted:Thing"}, door=SOURCES)
    installation = installed(folder)
    with pytest.raises(KeyboardInterrupt):
        installation.get(SOURCES, "thing")
    assert "thing" in installation.door(SOURCES)
    sys.of_test = True  # type: ignore[attr-defined]  # a mark for the module
    try:
        assert installation.get(SOURCES, "thing") == 1
    finally:
        del sys.of_test  # type: ignore[attr-defined]  # as above


def test_a_plugin_s_own_keyboard_interrupt_is_contained(folder: Path) -> None:
    """A module that raises what Ctrl-C raises, without a signal, is quarantined like any other."""
    module(folder, "interrupts", "raise KeyboardInterrupt\n")
    distribution(folder, "dist", {"thing": "interrupts:Thing"}, door=SOURCES)
    with pytest.raises(PluginBroken, match=r"from dist 1\.0 is quarantined: KeyboardInterrupt$"):
        installed(folder).get(SOURCES, "thing")


# Not found


def test_not_installed_names_the_nearest(folder: Path) -> None:
    """A misspelt name is told the nearest names; where none is near, what exists; where nothing is, that."""
    assert why(installed(folder), "score").endswith("no installed distribution provides it; none are known")
    for name in ("chunk", "embed", "index"):
        stage_plugin(folder, name)
    assert "did you mean 'chunk'?" in why(installed(folder), "chunks")
    assert "known: chunk, embed, index" in why(installed(folder), "zzz")


def test_blocked(folder: Path) -> None:
    """A blocked plugin says who blocks it and where to change that, and is not imported."""
    stage_plugin(folder, "score")
    text = why(installed(folder, deny=["dist-score"]), "score")
    assert "dist-score 1.0 is blocked: its distribution is on the deny list of [plugins]" in text
    assert text.endswith("; change [plugins] in medical_kg.toml")
    assert "not on the allow list" in why(installed(folder, allow=["other"]), "score")
    assert imported(folder) == []


def test_incompatible(folder: Path) -> None:
    """An incompatible plugin says what it requires and what to do, and is not imported."""
    stage_plugin(folder, "score", requires=("medical-kg>=99",))
    text = why(installed(folder), "score")
    assert "dist-score 1.0 is incompatible: it requires medical-kg>=99, this is medical-kg" in text
    assert text.endswith("install a fitting version")
    assert imported(folder) == []


def test_every_reason_is_told(folder: Path) -> None:
    """Where several distributions provide a name that none may, each says why."""
    stage_plugin(folder, "score", name="one", requires=("medical-kg>=99",))
    stage_plugin(folder, "score", name="two")
    text = why(installed(folder, deny=["two"]), "score")
    assert "one 1.0 is incompatible" in text
    assert "; two 1.0 is blocked" in text


def test_damaged_metadata_is_quarantined_without_an_import(folder: Path) -> None:
    """A plugin whose distribution is damaged is broken for who asks, and does not stand in another's way."""
    stage_plugin(folder, "score", name="one")
    stage_plugin(folder, "grade", name="two")
    (folder / "two-1.0.dist-info" / "METADATA").write_text("")
    stages = installed(folder).stages
    with pytest.raises(PluginBroken, match="METADATA has no Name and no Version; install two anew"):
        stages.get("grade")
    assert imported(folder) == []
    stage_plugin(folder, "grade", name="three")
    assert str(installed(folder).stages.get("grade").origin) == "three 1.0"


# Conflicts


def both(folder: Path, *order: str) -> list[str]:
    """Install two distributions that claim ``score`` into folders of their own; return the path in this order."""
    for name in ("alpha", "beta"):
        (folder / name).mkdir(exist_ok=True)
        stage_plugin(folder / name, "score", name=name)
        sys.path.append(str(folder / name))
    return [str(folder / name) for name in order]


@pytest.fixture
def _path() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in ("alpha", "beta"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("order", [("alpha", "beta"), ("beta", "alpha")])
def test_a_conflict_names_both(tmp_path: Path, order: tuple[str, str]) -> None:
    """A name claimed twice is an error that names both and how to choose, in any order of installation (scenario 7)."""
    path = both(tmp_path, *order)
    stages = Installation(path=path).stages
    assert "score" in stages
    assert stages.names() == ("score",)
    with pytest.raises(PluginConflict) as caught:
        stages.get("score")
    assert caught.value.claims == ("alpha 1.0", "beta 1.0")
    assert str(caught.value) == (
        f"'score' ({STAGES}) is claimed by alpha 1.0 and beta 1.0; choose one with "
        '[plugins.prefer] "score" = "alpha" in medical_kg.toml, or write alpha:score in the pipeline'
    )
    assert imported(tmp_path / "alpha") == imported(tmp_path / "beta") == []
    for name in ("alpha", "beta"):
        assert stages.get(f"{name}:score").origin.distribution == name
        preferred = Installation(PluginSettings(prefer={"score": name.upper()}), path=path).stages
        assert preferred.get("score").origin.distribution == name
    blocked = Installation(PluginSettings(deny=("alpha",)), path=path).stages
    assert blocked.get("score").origin.distribution == "beta"


@pytest.mark.usefixtures("_path")
def test_a_conflict_stays_one_when_a_claim_turns_out_broken(tmp_path: Path) -> None:
    """What a name means does not depend on what was tried before."""
    path = both(tmp_path, "alpha", "beta")
    (tmp_path / "alpha" / "alpha.py").write_text("raise RuntimeError")
    stages = Installation(path=path).stages
    with pytest.raises(PluginBroken):
        stages.get("alpha:score")
    with pytest.raises(PluginConflict):
        stages.get("score")
    with pytest.raises(PluginBroken):
        stages.get("alpha:score")
    assert stages.get("beta:score")


def test_preferring_who_does_not_provide(folder: Path) -> None:
    """A preference for a distribution that lacks the name is told; nothing else steps in for it."""
    stage_plugin(folder, "score")
    text = why(installed(folder, prefer={"score": "Other.One"}), "score")
    assert "settings prefer distribution 'other-one', which does not provide it" in text
    assert text.endswith("change [plugins.prefer] in medical_kg.toml")
    assert installed(folder, prefer={"score": "other"}).stages.get("dist-score:score")
    named = why(installed(folder, prefer={"score": "other"}), "third:score")
    assert "distribution 'third' does not provide it; it is provided by dist-score 1.0" in named


def test_a_preference_for_one_door_is_none_for_another(folder: Path) -> None:
    """One name behind two doors: a preference counts where the preferred distribution claims it."""
    stage_plugin(folder, "score", name="one")
    stage_plugin(folder, "score", name="two")
    module(folder, "three", "Thing = 3\n")
    distribution(folder, "three", {"score": "three:Thing"}, door=SOURCES)
    installation = installed(folder, prefer={"score": "two"})
    assert installation.stages.get("score").origin.distribution == "two"
    assert installation.get(SOURCES, "score") == 3


def test_a_distribution_that_lacks_the_name(folder: Path) -> None:
    """``distribution:name`` says who else provides the name, if anybody does."""
    stage_plugin(folder, "score")
    installation = installed(folder)
    assert why(installation, "other:score").endswith(
        "distribution 'other' does not provide it; it is provided by dist-score 1.0"
    )
    stage_plugin(folder, "score", name="zeta")
    assert why(installed(folder), "other:score").endswith("it is provided by dist-score 1.0 and zeta 1.0")
    assert "did you mean 'score'?" in why(installation, "dist-score:scores")


def test_a_built_in_is_overridden_only_by_choice(folder: Path) -> None:
    """A stranger's type with a built-in's name is a conflict until somebody chooses."""
    stage_plugin(folder, "barrier", name="stranger")
    for choice, expected in (({"barrier": "stranger"}, "stranger"), ({"barrier": "medical-kg"}, "medical-kg")):
        stages = installed(folder).stages
        stages.add("barrier", Gate, distribution="medical-kg")
        with pytest.raises(PluginConflict):
            stages.get("barrier")
        stages = installed(folder, prefer=choice).stages
        stages.add("barrier", Gate, distribution="medical-kg")
        assert stages.get("barrier").origin.distribution == expected


# Types made in code


def test_adding_a_type_made_in_code(folder: Path) -> None:
    """A class can be registered directly, is checked at once, and is listed like any other."""
    stages = installed(folder).stages
    stages.add("shout", Shout)
    found = stages.get("shout")
    assert (found.cls, found.origin.distribution, found.origin.object) == (
        Shout,
        "in-code",
        f"{Shout.__module__}:Shout",
    )
    assert str(found.origin) == "in-code"
    assert [claim.origin.name for claim in stages.claims()] == ["shout"]


def test_what_does_not_fit_is_not_added(folder: Path) -> None:
    """A refusal names the plugin, the field and the value, and registers nothing (scenario 5)."""
    stages = installed(folder).stages
    with pytest.raises(PluginBroken, match="stage_type='whisper' is refused") as caught:
        stages.add("shout", Whisper)
    assert isinstance(caught.value.__cause__, MetadataError)
    with pytest.raises(PluginBroken, match="must name a subclass"):
        stages.add("shout", object())
    assert stages.claims() == ()
    assert "none are known" in why(installed(folder), "shout")


def test_adding_again_replaces(folder: Path) -> None:
    """The same distribution's newer object takes the place of the older one; another's makes a conflict."""
    door = installed(folder).door(SOURCES)
    door.add("thing", 1)
    assert door.get("thing") == 1
    assert (door.claim("thing").origin.door, door.claim("thing").origin.object) == (SOURCES, "?:1")
    door.add("thing", 2)
    assert (door.get("thing"), len(door.claims())) == (2, 1)
    door.add("thing", 3, distribution="other", version="1")
    with pytest.raises(PluginConflict, match="in-code and other 1"):
        door.get("thing")
    assert door.get("other:thing") == 3


def test_everything_on_the_path_by_default() -> None:
    """Without a path, what Python can import is looked through, and settings are optional."""
    assert Installation().doors() == Installation(PluginSettings(), None).doors()
