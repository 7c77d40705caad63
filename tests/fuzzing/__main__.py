"""Fuzzing at length: ``make fuzz``. Every target is called with edited seeds for a while, each in a process of its own."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import secrets
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "testing"), str(HERE.parent / "orchestration")]

from running import Found, deadline, work  # noqa: E402  # the test folders are no packages
from targets import Target, targets  # noqa: E402

SHRINKING = 300
"""Seconds that making a finding small may take beside the fuzzing."""


def main() -> int:
    """Fuzz, and print what came of it; the exit code is 1 if anything was found."""
    asked = _asked()
    known = {target.name: target for target in targets(real=True)}
    if asked.replay:
        return _replay(known[asked.replay[0]], Path(asked.replay[1]))
    chosen = [name for name in known if not asked.only or any(word in name for word in asked.only)]
    folder = Path(tempfile.mkdtemp(prefix="medical-kg-fuzz-findings-"))
    sys.stdout.write(f"seed {asked.seed}, {asked.seconds:g} s for each of {len(chosen)} targets\n")
    sys.stdout.write(f"{'target':28} {'calls':>9} {'per s':>7} {'findings':>9}\n")
    findings = 0
    for name in chosen:
        found = _in_a_process(name, asked.seconds, asked.seed)
        rate = found.calls / found.seconds if found.seconds else 0
        sys.stdout.write(f"{name:28} {found.calls:>9,} {rate:>7,.0f} {len(found.failures):>9}\n")
        for data, error in found.failures:
            findings += 1
            _keep(folder, name, data, error)
        sys.stdout.flush()
    return 1 if findings else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/fuzzing")
    parser.add_argument("--seconds", type=float, default=30, help="for each target")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="what chance comes from")
    parser.add_argument("--only", nargs="*", help="targets whose names hold one of these words")
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"), help="call a target with a file's bytes")
    return parser.parse_args()


def _replay(target: Target, path: Path) -> int:
    with deadline(3600):
        target.call(path.read_bytes())
    sys.stdout.write("nothing was raised\n")
    return 0


def _in_a_process(name: str, seconds: float, number: int) -> Found:
    """Fuzz in a process of limited memory; one that dies is a finding too, without its bytes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(work, name, seconds, number).result(2 * seconds + SHRINKING)
        except BrokenProcessPool as error:
            return Found(failures=[(b"", error)])
        except TimeoutError:
            for process in multiprocessing.active_children():
                process.kill()
            return Found(failures=[(b"", AssertionError("native code hangs, which no deadline ends"))])


def _keep(folder: Path, name: str, data: bytes, error: BaseException) -> None:
    path = folder / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    sys.stdout.write(f"{error}\n  python tests/fuzzing --replay '{name}' {path}\n")


if __name__ == "__main__":
    sys.exit(main())
