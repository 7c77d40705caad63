"""Rules about reads, writes and counts."""

from __future__ import annotations

import pytest

from medical_kg.orchestration.contract import StateKey
from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.orchestration.execution.calling import count, misfit
from medical_kg.testing.conformance.trial import Trial, bytes_of, encoded, letters
from medical_kg.testing.fresh import codec_of


class HonestyRules:
    """A stage reads, writes and counts what it says."""

    def test_needs_only_what_it_declares(self, trial: Trial) -> None:
        """With the declared reads and services, and nothing else, it works on all of the case's input."""
        try:
            run = trial.run()
        except (TypeError, KeyError, AttributeError, ContractError) as error:
            trial.broke(
                "honest reads",
                f"given {_reads(trial)} it raised {type(error).__name__}: {error}",
                "declare what it needs in reads and needs, and take each read as a keyword argument of its name",
            )
        assert trial.metadata.mode == "stream" or not run.dead_letters, trial.says(
            "honest reads",
            f"given {_reads(trial)} it rejected {len(run.dead_letters)} item(s): {letters(run)}",
            "declare what it needs in reads; an item it should reject belongs in the case's bad_item",
        )

    def test_optional_reads_may_be_absent(self, trial: Trial) -> None:
        """Without any one of its optional reads, and without all of them, it works too."""
        optional = [key.name for key in trial.metadata.read_keys if key in trial.metadata.optional_keys]
        if not optional:
            pytest.skip(f"{trial.case} has no optional reads")
        for absent in (*([name] for name in optional), optional):
            reads = {name: value for name, value in trial.reads().items() if name not in absent}
            try:
                run = trial.run(reads)
                found = letters(run)
            except Exception as error:  # noqa: BLE001  # whatever it raises, the rule is broken
                found = f"{type(error).__name__}: {error}"
            assert not found, trial.says(
                "optional reads",
                f"without {', '.join(absent)}: {found}",
                "take None for an optional read, or declare it as needed",
            )

    def test_leaves_its_inputs_as_they_were(self, trial: Trial) -> None:
        """What it was given is the same after the run: other stages get the same objects."""
        reads = trial.reads()
        given = [(key, reads[key.name]) for key in trial.metadata.read_keys if reads.get(key.name) is not None]
        if not given:
            pytest.skip(f"{trial.case} is given nothing that it could change")
        before = {key.name: _bytes(trial, key, value) for key, value in given}
        trial.run(reads)
        changed = [key.name for key, value in given if bytes_of(key, value) != before[key.name]]
        assert changed == [], trial.says(
            "inputs left alone",
            f"after the run {', '.join(changed)} differs from what it was given",
            "make new records (model_copy) and new lists; never change what was given",
        )

    def test_writes_what_it_declares(self, trial: Trial) -> None:
        """Every declared key is in its output, no other, and each value has the key's type."""
        try:
            run = trial.run()
        except ContractError as error:
            trial.broke("honest writes", error.what, "let writes and the output agree")
        if run.waiting is not None:
            pytest.skip(f"{trial.case} waits with the case's reads, so it writes nothing")
        wrong = {key.name: misfit(key, run.output[key]) for key in trial.metadata.writes}
        assert {name: why for name, why in wrong.items() if why} == {}, trial.says(
            "honest writes", f"{wrong}", "let writes and the output agree"
        )
        assert trial.metadata.mode != "item" or not run.dead_letters, trial.says(
            "honest writes", letters(run), "return what the metadata declares, for every item of the case"
        )

    def test_counts_are_pure_and_finite(self, trial: Trial) -> None:
        """Counting changes nothing, gives the same again and after a round trip, and gives finite numbers."""
        run = trial.run_whole()
        output = {key: run.output[key] for key in trial.metadata.writes}
        before = encoded(run)
        first, second = count(trial.metadata, output), count(trial.metadata, output)
        advice = "let output_counter look at the handled output only, and change nothing"
        assert first == second, trial.says("honest counts", f"{first}, then {second}, of one output", advice)
        assert encoded(run) == before, trial.says("honest counts", "counting changed the output", advice)
        stored = {key: codec_of(key).decode(before[key.name]) for key in output}
        third = _counted(trial, stored)
        assert third == first, trial.says(
            "honest counts", f"{first}, but {third} of the same output after storing and loading it", advice
        )

    def test_an_empty_output_can_be_counted(self, trial: Trial) -> None:
        """The counter takes lists that are empty, and gives finite numbers for them."""
        run = trial.run_whole()
        output = {key: [] if key.is_list else run.output[key] for key in trial.metadata.writes}
        _counted(trial, output)


def _counted(trial: Trial, output: dict[StateKey[object], object]) -> dict[str, float]:
    try:
        return count(trial.metadata, output)
    except ContractError as error:
        shown = {key.name: f"{len(value)} items" if isinstance(value, list) else value for key, value in output.items()}
        trial.broke(
            "honest counts", f"of {shown}: {error.what}", "let output_counter take any output, also an empty one"
        )


def _bytes(trial: Trial, key: StateKey[object], value: object) -> bytes:
    try:
        return bytes_of(key, value)
    except (TypeError, ValueError) as error:
        trial.broke(
            "the case itself", f"{key.name} cannot be stored: {error}", "give the case values of the key's type"
        )


def _reads(trial: Trial) -> str:
    names = [key.name for key in trial.metadata.read_keys]
    return f"{', '.join(names) or 'nothing to read'} and {', '.join(trial.metadata.needs) or 'no services'}"
