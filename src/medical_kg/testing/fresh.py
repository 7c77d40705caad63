"""The program that runs a stage of a test in a process of its own: ``python -m medical_kg.testing.fresh JOB``.

A job is a file written by ``run_fresh``. The input travels as checkpoints do, by each key's codec; only the fakes that
the author's own test made are pickled, and only from a test to the process that it started.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from medical_kg.orchestration.contract.errors import MedicalKGError

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Codec, Stage, StateKey
    from medical_kg.testing.case import StageCase

LIMIT_SECONDS = 600
"""A process that takes longer hangs, and is ended."""

Work = Literal["import", "outputs", "pipeline"]


@dataclass(frozen=True)
class Job:
    """What a fresh process does.

    ``work``: ``import`` the class's module and say what that took; run it and give its ``outputs`` as bytes; or run a
    ``pipeline`` around it in ``folder``, ending in the middle of the commit where ``kill`` says so.
    """

    work: Work
    module: str
    file: str
    name: str
    folder: str
    path: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, bytes] = field(default_factory=dict)
    more: bytes = b""
    kill: str = ""


class NotPortable(MedicalKGError):
    """The case cannot be taken to another process; the message says what of it."""


def job_of(case: StageCase, work: Work, folder: Path, *, kill: str = "") -> Job:
    """Return the job for a case.

    Raises:
        NotPortable: the class stands inside a function, or a fake cannot be pickled.
    """
    cls = case.stage_type
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if "<locals>" in cls.__qualname__ or file is None:
        raise NotPortable(f"{cls.__qualname__} of {cls.__module__} can be imported by no other process")
    job = Job(work, cls.__module__, file, cls.__qualname__, str(folder), tuple(sys.path), kill=kill)
    if work == "import":
        return job
    keys = {key.name: key for key in cls.metadata.read_keys}
    given = {name: value for name, value in case.reads.items() if value is not None}
    reads = {name: codec_of(keys[name]).encode(value) for name, value in given.items()}
    try:
        more = pickle.dumps(dict(case.more))
    except Exception as error:  # pickle raises TypeError, AttributeError, PicklingError and what objects raise
        raise NotPortable(f"a keyword in more of the case cannot be pickled: {error}") from error
    return replace(job, config=dict(case.config), reads=reads, more=more)


def codec_of(key: StateKey[Any]) -> Codec:
    """Return a key's codec; its type says there may be none, but one is always set."""
    return cast("Codec", key.codec)


def run_fresh(job: Job, *, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a job in a new process; its answer is read with ``answer_of``."""
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    place = Path(job.folder) / f"{job.work}.job"
    place.write_bytes(pickle.dumps(job))
    return subprocess.run(  # noqa: S603  # our own interpreter and program
        [sys.executable, "-m", "medical_kg.testing.fresh", str(place)],
        env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(part for part in job.path if part)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        text=True,
        check=False,
    )


def answer_of(job: Job) -> dict[str, Any]:
    """Return what a finished job said."""
    found: dict[str, Any] = json.loads((Path(job.folder) / f"{job.work}.json").read_text(encoding="utf-8"))
    return found


def locate(module: str, file: str, name: str) -> type[Stage[Any]]:
    """Return a class by its module and name; a module that is on no path, as of a test, is loaded from its file."""
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        found = None
    if found is None or getattr(found, "__file__", None) != file:
        spec = importlib.util.spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no module of Python", name=module, path=file)
        found = sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    cls: type[Stage[Any]] = found
    return cls


def case_of(job: Job) -> StageCase:
    """Return the case again, as another process gets it."""
    from medical_kg.testing.case import StageCase

    cls = locate(job.module, job.file, job.name)
    keys = {key.name: key for key in cls.metadata.read_keys}
    reads = {name: codec_of(keys[name]).decode(data) for name, data in job.reads.items()}
    # After the class: what was pickled may stand in its module.
    return StageCase(cls, job.config, reads, more=pickle.loads(job.more))  # noqa: S301  # written by our own test


def _outputs(job: Job) -> dict[str, Any]:
    from medical_kg.testing.harness import opened_stage

    case = case_of(job)
    given = dict(case.more)
    given.pop("cursor", None)
    limit = given.pop("limit", 100)
    if "workspace" in case.stage_type.metadata.needs:
        given["workspace"] = Path(job.folder)
    with opened_stage(case.stage_type, case.config, **given) as stage:
        stream = case.stage_type.metadata.mode == "stream"
        run = stage.pull(None, limit) if stream else stage.run(case.reads)
    values = {key.name: codec_of(key).encode(run.output[key]).hex() for key in run.output.declared if key in run.output}
    return {"outputs": values, "counts": dict(run.counts)}


def _import(job: Job) -> dict[str, Any]:
    before, started = set(sys.modules), time.process_time()
    locate(job.module, job.file, job.name)
    return {"seconds": time.process_time() - started, "modules": sorted(set(sys.modules) - before)}


def _pipeline(job: Job) -> dict[str, Any]:
    from medical_kg.testing.survival import run_around

    return run_around(case_of(job), Path(job.folder), kill=job.kill, die=_die)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


WORKS: Mapping[Work, Callable[[Job], dict[str, Any]]] = {
    "import": _import,
    "outputs": _outputs,
    "pipeline": _pipeline,
}


def main(place: str) -> None:
    """Do the job in a file and write the answer beside it."""
    job: Job = pickle.loads(Path(place).read_bytes())  # noqa: S301  # written by our own test
    answer = WORKS[job.work](job)
    (Path(job.folder) / f"{job.work}.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
