"""Rules about values: nothing in, storing and loading, the same again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from medical_kg.orchestration.execution.calling import misfit
from medical_kg.testing.conformance.trial import Trial, encoded, letters, outcome
from medical_kg.testing.fresh import codec_of

SQLITE = b"SQLite format 3\0"
LEDGER_ONLY = frozenset({"checkpoints"})
"""Folders of a workspace that belong to the engine."""


class ValueRules:
    """Values can be stored, and the same input gives the same ones."""

    def test_nothing_in_is_no_error(self, trial: Trial) -> None:
        """Empty lists are ordinary input: a batch may have nothing left."""
        lists = [key.name for key in trial.metadata.read_keys if key.is_list]
        if not lists:
            pytest.skip(f"{trial.case} reads no list")
        try:
            run = trial.run(trial.reads(**{name: [] for name in lists if name in trial.case.reads}))
        except Exception as error:  # noqa: BLE001  # whatever it raises, the rule is broken
            trial.broke("empty input", f"{type(error).__name__}: {error}", "take empty lists and give empty output")
        wrong = {} if run.waiting else {key.name: misfit(key, run.output[key]) for key in trial.metadata.writes}
        assert {name: why for name, why in wrong.items() if why} == {}, trial.says(
            "empty input", f"{wrong}", "give empty output of the declared types"
        )
        assert not run.dead_letters, trial.says("empty input", letters(run), "reject nothing where nothing is")

    def test_values_survive_storing_and_loading(self, trial: Trial) -> None:
        """Each written value encodes, decodes and encodes to the same bytes; a checkpoint is named by them."""
        run = trial.run_whole()
        for key in trial.metadata.writes:
            codec = codec_of(key)
            advice = "use types that JSON keeps (a sorted tuple for a set), or give the key a codec of its own"
            try:
                data = codec.encode(run.output[key])
                loaded = codec.decode(data)
                again = codec.encode(loaded)
            except Exception as error:  # noqa: BLE001  # a codec may be the author's own
                trial.broke("storing and loading", f"{key.name}: {type(error).__name__}: {error}", advice)
            assert again == data, trial.says("storing and loading", f"{key.name} came back as another value", advice)
            assert misfit(key, loaded) is None, trial.says(
                "storing and loading", f"{key.name}, loaded, {misfit(key, loaded)}", advice
            )

    def test_called_again_it_gives_the_same(self, trial: Trial) -> None:
        """An open stage called again with the same input gives the same, and a new one too."""
        if trial.metadata.mode == "stream":
            pytest.skip(f"{trial.case} is a stream: its pages are looked at by rules of their own")
        folder = trial.new_folder()
        with trial.opened(folder=folder) as stage:
            stage.run(trial.reads())  # what is there already may show in a receipt, so the first call is not compared
            second = outcome(trial, stage.run(trial.reads()))
            third = outcome(trial, stage.run(trial.reads()))
        advice = "keep nothing between calls; a stage is called again after a crash and for the next batch"
        assert third == second, trial.says("the same again", f"{third} after {second}", advice)
        with trial.opened(folder=folder) as stage:
            fresh = outcome(trial, stage.run(trial.reads()))
        assert fresh == second, trial.says("the same again", f"a new instance gave {fresh}, not {second}", advice)

    def test_written_again_it_leaves_the_same(self, trial: Trial) -> None:
        """What it wrote to its workspace is replaced by the second call, not added to."""
        if "workspace" not in trial.metadata.needs:
            pytest.skip(f"{trial.case} needs no workspace, so there is nothing it could write to")
        folder = Path(trial.case.more.get("workspace") or trial.new_folder())
        trial.run(workspace=folder)
        first = dict(footprint(folder))
        trial.run(workspace=folder)
        second = dict(footprint(folder))
        assert second == first, trial.says(
            "replacing, not adding",
            f"after the first call {first}, after the second {second}",
            "delete the rows of each root before its new ones are written, in one transaction",
        )

    def test_close_lets_go(self, trial: Trial) -> None:
        """``close()`` after ``open()`` raises nothing, and a later instance works as the first."""
        try:
            with trial.opened():
                pass
        except Exception as error:  # noqa: BLE001  # whatever it raises, the rule is broken
            said = f"opened and closed without a call it raised {type(error).__name__}: {error}"
            trial.broke("letting go", said, "let close() take what open() took, and nothing that only a call makes")
        with trial.opened() as stage:
            if trial.metadata.mode == "stream":
                stage.pull(None, 1)
            else:
                encoded(stage.run(trial.reads()))


def footprint(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Give what a folder holds: the rows of each table of its SQLite databases, and its other files."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or path.name.endswith(("-wal", "-shm")) or name.parts[0] in LEDGER_ONLY:
            continue
        with path.open("rb") as file:
            is_database = file.read(len(SQLITE)) == SQLITE
        if is_database:
            yield from _tables(path)
        else:
            yield str(name), None


def _tables(path: Path) -> Iterator[tuple[str, int]]:
    from medical_kg.orchestration.ledger.tables import METADATA

    engine_s = {*METADATA.tables, "alembic_version"}
    with closing(sqlite3.connect(path)) as database:
        kinds = database.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'").fetchall()
        for name, kind in sorted(kinds):
            # Shadow tables are the inside of a virtual one: how many rows they have depends on merges.
            if kind in ("table", "virtual") and not name.startswith("sqlite_") and name not in engine_s:
                quoted = name.replace('"', '""')
                count = f'SELECT count(*) FROM "{quoted}"'  # noqa: S608  # a table's name cannot be a parameter
                yield name, database.execute(count).fetchone()[0]
