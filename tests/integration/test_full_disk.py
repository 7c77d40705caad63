"""A disk that is full under the workspace: one message, code 1, and the same command completes once there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Refused = Callable[..., str]

# How large a file may grow: the smallest stops the ledger's first table, the next the checkpoints of some stage, the
# last the tables of index and graph. Dagster's own database is larger than any of these.
LIMITS = [("plain", 1_000), ("plain", 100_000), ("plain", 300_000), ("plain", 450_000), ("dagster", 300_000)]


@pytest.mark.parametrize(("engine", "largest"), LIMITS)
def test_a_file_that_may_not_grow_loses_nothing(
    kg: Any, refused: Refused, goes_on: Any, engine: str, largest: int
) -> None:
    """Whichever file meets the limit first, the message says what to do, and without it the same command completes."""
    message = refused(kg(*kg.auto, "--engine", engine, largest_file=largest), 1)
    assert any(advice in message for advice in ("ulimit -f", "see that the disk"))
    goes_on(kg, "--engine", engine)


DISK = """
set -u
mkdir disk && mount -t tmpfs -o "size=$1" tmpfs disk || exit 99
shift
"$@" 2> full.err; echo $? > full.code
mount -o remount,size=100m disk
"$@" 2> room.err; echo $? > room.code
cp -r disk kept
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "engine"),
    [
        *((size, "plain") for size in ("200k", "400k", "600k", "900k", "1200k")),
        ("400k", "dagster"),
        ("900k", "dagster"),
    ],
)
def test_a_full_disk_loses_nothing(kg: Any, refused: Refused, rows_of_few: Any, size: str, engine: str) -> None:
    """On a real file system that fills up at any point, each stage that failed says so once; with room again it completes."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare, which makes a small disk for one program, is not on this machine")
    kg.root = kg.folder / "disk"
    shell = ("unshare", "--mount", "--map-root-user", "sh", "-c", DISK, "sh", size)
    done = kg(*kg.auto, "--engine", engine, through=shell)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"this machine does not let a program have a disk of its own: {done.stderr}")
    assert done.returncode == 0, done.stderr
    full = subprocess.CompletedProcess(
        done.args, int((kg.folder / "full.code").read_text()), "", (kg.folder / "full.err").read_text()
    )
    message = refused(full, 1)
    said = [line for line in message.splitlines() if line.startswith("Error: ")]
    assert all("full" in line or "No space left" in line for line in said), message
    assert (kg.folder / "room.code").read_text().strip() == "0", (kg.folder / "room.err").read_text()
    kg.root = kg.folder / "kept"
    assert kg.rows() == rows_of_few
    completed = [stage for stage, event in kg.events() if event == "stage completed"]
    assert len(completed) == len(set(completed)) == 8
