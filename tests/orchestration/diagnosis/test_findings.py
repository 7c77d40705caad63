"""The doctor: every claim judged, every plugin tried in a real process apart, whatever it does there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributions import STAGES, distribution, importable, imported, module, stage_plugin

from medical_kg.orchestration import Finding, Installation, PluginSettings, diagnose

SOURCES, COMMANDS = "medical_kg.sources", "medical_kg.commands"

HOSTILE = {
    "aborts": ("import os\nos.abort()\n", "its import killed the process: Aborted (SIGABRT)"),
    "crashes": ("import ctypes\nctypes.string_at(0)\n", "its import killed the process: Segmentation fault (SIGSEGV)"),
    "exits": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "hangs": ("while True: pass\n", "its import takes longer than 2 s"),
    "interrupts": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "kills": ("import os\nos.kill(os.getpid(), 9)\n", "its import killed the process: Killed (SIGKILL)"),
    "leaves": ("import os\nos._exit(4)\n", "its import ended the process with exit code 4"),
    "needs": ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into."""
    with importable(tmp_path):
        yield tmp_path


def found(folder: Path, *, timeout_seconds: float = 30, **settings: Any) -> dict[str, Finding]:
    installation = Installation(PluginSettings(**settings), path=[str(folder)], folder=folder)
    return {
        f"{one.distribution}:{one.name}": one
        for one in diagnose(installation, timeout_seconds=timeout_seconds, own_commands={"run"})
    }


def source(folder: Path, name: str, text: str, **more: Any) -> None:
    """Install a distribution with one source of its own name."""
    module(folder, name, text)
    distribution(folder, name, {name: f"{name}:Thing"}, door=SOURCES, **more)


def test_all_is_well(folder: Path) -> None:
    """A good plugin is installed, with the seconds it took and where it is written; nothing is imported here."""
    stage_plugin(folder, "score", version="2.1")
    (one,) = found(folder).values()
    assert (one.door, one.name, one.distribution, one.version, one.object) == (
        STAGES,
        "score",
        "dist-score",
        "2.1",
        "dist_score:Plugin",
    )
    assert (one.status, one.reason, one.remedy, one.notes, one.is_problem) == ("installed", "", "", (), False)
    assert one.seconds is not None
    assert one.place == f"{folder / 'dist_score-2.1.dist-info' / 'entry_points.txt'}:2"
    assert "dist_score" not in __import__("sys").modules


@pytest.mark.slow
def test_whatever_a_plugin_does_the_rest_is_examined(folder: Path) -> None:
    """One that crashes, hangs, kills or leaves the process is named with how; those before and after are examined."""
    source(folder, "a_good", "Thing = 1\n")
    for name, (text, _) in HOSTILE.items():
        source(folder, name, text)
    source(folder, "z_good", "Thing = 1\n")
    told = {one.name: one for one in found(folder, timeout_seconds=2).values()}
    assert {name: told[name].reason for name in HOSTILE} == {name: reason for name, (_, reason) in HOSTILE.items()}
    assert {told[name].status for name in HOSTILE} == {"broken"}
    assert (told["a_good"].status, told["z_good"].status) == ("installed", "installed")
    assert told["needs"].remedy.startswith("pip install --force-reinstall needs, which brings what it requires")
    assert told["exits"].remedy == (
        'pip install --upgrade exits, or do without it: [plugins] deny = ["exits"] in medical_kg.toml'
    )
    assert "raise SystemExit(3)" in told["exits"].detail
    # One process for all that behave: those before the first culprit, and those between culprits.
    assert sorted(imported(folder)) == sorted(["a_good", "z_good", *HOSTILE])


def test_a_process_that_cannot_be_heard_any_more(folder: Path) -> None:
    """A plugin that closes the files of the process is named, and the process ends."""
    source(folder, "closes", "import os, time\nos.closerange(0, 100)\ntime.sleep(60)\n")
    assert found(folder)["closes:closes"].reason == "its import closed the files of the process"


def test_what_a_plugin_left_running_is_ended(folder: Path) -> None:
    """A process that a plugin starts does not outlive the examination."""
    text = "import subprocess, sys\nfrom pathlib import Path\n"
    text += "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    text += "(Path(__file__).parent / 'pid').write_text(str(child.pid))\nThing = 1\n"
    source(folder, "starts", text)
    assert found(folder)["starts:starts"].status == "installed"
    stat, until = Path(f"/proc/{(folder / 'pid').read_text()}/stat"), time.monotonic() + 60
    # The kernel takes its time; without the end of the session it would run for ten minutes.
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_every_way_not_to_be_used(folder: Path) -> None:
    """Blocked, broken, incompatible, shadowed, conflict and unused are told apart, each with a reason and what to do."""
    stage_plugin(folder, "denied", name="denied")
    stage_plugin(folder, "future", name="future", requires=("medical-kg>=99",))
    stage_plugin(folder, "both", name="one")
    stage_plugin(folder, "both", name="two")
    stage_plugin(folder, "chosen", name="three")
    stage_plugin(folder, "chosen", name="four")
    distribution(folder, "torn", {"torn": "not an object"}, door=SOURCES)
    module(folder, "my_command", "app = 1\n")
    distribution(folder, "commands", {"run": "my_command:app"}, door=COMMANDS)
    local = {"sources": {"own": "own_thing:Thing"}}
    told = found(folder, deny=["denied"], prefer={"chosen": "four"}, local=local)
    assert {name: one.status for name, one in told.items()} == {
        "commands:run": "shadowed",
        "denied:denied": "blocked",
        "four:chosen": "installed",
        "future:future": "incompatible",
        "local:own": "broken",
        "one:both": "conflict",
        "three:chosen": "unused",
        "torn:torn": "broken",
        "two:both": "conflict",
    }
    assert {name: one.remedy for name, one in told.items()} == {
        "commands:run": "none needed; its author can rename the entry point",
        "denied:denied": "to allow it, take 'denied' out of [plugins] deny in medical_kg.toml",
        "four:chosen": "",
        "future:future": "pip install --upgrade future, or the release of medical-kg that it requires",
        "local:own": "mend own_thing:Thing, or take its line out of medical_kg.toml",
        "one:both": '[plugins.prefer] "both" = "one" in medical_kg.toml, or the other one',
        "three:chosen": "none needed; a pipeline may write three:chosen",
        "torn:torn": "pip install --force-reinstall torn",
        "two:both": '[plugins.prefer] "both" = "two" in medical_kg.toml, or the other one',
    }
    assert all(bool(one.reason) == (one.status != "installed") for one in told.values())
    assert {one.status for one in told.values() if one.is_problem} == {"broken", "incompatible", "conflict"}
    assert {one.seconds is None for one in told.values() if one.status in ("blocked", "incompatible")} == {True}


def test_a_preference_that_nothing_fulfils(folder: Path) -> None:
    """A preferred distribution that does not provide the name is a problem of its own, with the setting to change."""
    stage_plugin(folder, "score")
    told = found(folder, prefer={"score": "nobody", "gone": "dist-score"})
    assert {name: (one.status, one.is_problem) for name, one in told.items()} == {
        "dist-score:gone": ("broken", True),
        "dist-score:score": ("unused", False),
        "nobody:score": ("broken", True),
    }
    assert told["nobody:score"].reason == "settings prefer distribution 'nobody', which does not provide it"
    assert told["nobody:score"].remedy == "pip install nobody, or change [plugins.prefer] in medical_kg.toml"


def test_the_allow_list(folder: Path) -> None:
    """One that is not on the allow list is blocked, never imported, and told how to be allowed."""
    stage_plugin(folder, "score")
    (one,) = found(folder, allow=[]).values()
    assert (one.status, one.remedy) == (
        "blocked",
        "to allow it, add 'dist-score' to [plugins] allow in medical_kg.toml",
    )
    assert imported(folder) == []


def test_damaged_metadata_without_plugins(folder: Path) -> None:
    """A distribution whose entry points cannot be read may have plugins, so it is named too."""
    info = distribution(folder, "junk", {})
    (info / "entry_points.txt").write_bytes(b"\xff\xfe\x00")
    shutil.copytree(info, folder / "unnamed" / info.name)
    stage_plugin(folder, "score")
    good, one = found(folder).values()
    assert (good.status, good.seconds is not None) == ("installed", True)
    assert (one.door, one.name, one.distribution, one.status) == ("", "", "junk", "broken")
    assert one.reason == "its plugins cannot be listed: its entry_points.txt is damaged: it is not UTF-8"
    assert one.remedy == "pip install --force-reinstall junk"


def test_a_local_module_is_tried_from_its_own_folder(folder: Path) -> None:
    """Modules named in the settings are examined as well, and a broken one is told by its place there."""
    module(folder, "own_thing", "raise ValueError('no')\n")
    (folder / "medical_kg.toml").write_text('[plugins.local.sources]\nown = "own_thing:Thing"\n')
    (one,) = found(folder, local={"sources": {"own": "own_thing:Thing"}}).values()
    assert (one.status, one.reason) == ("broken", "ValueError: no")
    assert one.remedy == f"mend own_thing:Thing, or take its line out of {folder / 'medical_kg.toml'}:2"


def test_what_is_made_in_code_is_not_tried(folder: Path) -> None:
    """A plugin registered directly has no way into another process; it is as it is here."""
    stage_plugin(folder, "score")
    installation = Installation(path=[str(folder)])
    installation.door(SOURCES).add("thing", 1)
    assert {(one.name, one.status, one.seconds is None) for one in diagnose(installation)} == {
        ("score", "installed", False),
        ("thing", "installed", True),
    }


SIDE_EFFECTS = {
    "prints": ("import os\nprint('hello')\nos.write(2, b'x' * 100)\n", ["it printed to stdout: 'hello\\n'", "it printed to stderr: 'xxx"]),
    "environ": ("import os\nos.environ['SECRET_OF_TEST'] = 'hush'\n", ["it changed environment variables: SECRET_OF_TEST"]),
    "moves": ("import os\nos.chdir('/')\n", ["it changed the working directory from "]),
    "logs": (
        "import logging\nlogging.basicConfig(level=10)\nlogging.disable(20)\nlogging.getLogger('of.test').disabled = True\n",
        [
            "it changed the root logger's handlers",
            "it changed the root logger's level from 30 to 10",
            "it changed the level below which logging is disabled from 0 to 20",
            "it left disabled loggers: of.test",
        ],
    ),
    "filters": ("import warnings\nwarnings.simplefilter('ignore')\n", ["it changed the filters of warnings"]),
    "signals": ("import signal\nsignal.signal(2, signal.SIG_DFL)\n", ["it changed signal handlers: SIGINT"]),
    "path": ("import sys\nsys.path.append('/somewhere')\n", ["it changed sys.path"]),
    "thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), name='of-test').start()\n",
        ["it left running threads: of-test"],
    ),
    "heavy": ("import sys, types\nsys.modules['dagster'] = types.ModuleType('dagster')\n", ["it imported dagster"]),
    "slow": ("import time\ntime.sleep(1.1)\n", ["its import took 1."]),
    "streams": ("import sys\nsys.stdout = None\n", ["it changed the standard streams"]),
}  # fmt: skip


def test_side_effects_of_an_import_are_told(folder: Path) -> None:
    """Each is a note for its own plugin, no problem, and the values of variables are not told."""
    for name, (text, _) in SIDE_EFFECTS.items():
        source(folder, name, text + "Thing = 1\n")
    told = {one.name: one for one in found(folder).values()}
    assert {one.status for one in told.values()} == {"installed"}
    for name, (_, notes) in SIDE_EFFECTS.items():
        assert len(told[name].notes) == len(notes), (name, told[name].notes)
        for said, expected in zip(told[name].notes, notes, strict=True):
            assert said.startswith(expected)
    assert "hush" not in repr(told)


def test_nothing_is_left_open(folder: Path) -> None:
    """The examination closes every file it opens here."""
    source(folder, "leaves", "import os\nos._exit(4)\n")
    before = len(list(Path("/proc/self/fd").iterdir()))
    found(folder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
