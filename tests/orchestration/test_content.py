"""Files named by their content: what may be taken away beside those who store."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from medical_kg.orchestration.checkpoints import CheckpointStore
from medical_kg.orchestration.content import FRESH_SECONDS, leftovers, stored, storing, take_away, touch
from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.services import FileArea

OLD = time.time() - 10 * FRESH_SECONDS
LATER = time.time() + 10 * FRESH_SECONDS


def aged(root: Path) -> Path:
    """Make the one file below a folder old."""
    [path] = (path for path in root.rglob("*") if path.is_file())
    os.utime(path, (OLD, OLD))
    return path


def test_only_what_is_old_goes(tmp_path: Path) -> None:
    """What was stored within the last hour stays, whoever asks; what is older than asked for goes, once."""
    store = CheckpointStore(tmp_path)
    digest = store.put(b"x", ".jsonl")
    assert not store.discard(digest, ".jsonl", touched_before=LATER)
    aged(tmp_path)
    assert not store.discard(digest, ".jsonl", touched_before=OLD - 1)
    assert store.discard(digest, ".jsonl", touched_before=LATER)
    assert not store.discard(digest, ".jsonl", touched_before=LATER)
    assert not store.has(digest, ".jsonl")


def test_what_is_stored_again_is_young_again(tmp_path: Path) -> None:
    """Putting equal bytes once more keeps a checkpoint and a file from going."""
    store, area = CheckpointStore(tmp_path / "one"), FileArea(tmp_path / "two")
    digest, file = store.put(b"x"), area.put([b"x"], suffix=".pdf")
    aged(tmp_path / "one")
    aged(tmp_path / "two")
    store.put(b"x")
    area.put([b"x"], suffix=".pdf")
    assert not store.discard(digest, touched_before=LATER)
    assert not area.discard(file.sha256, ".pdf", touched_before=LATER)
    aged(tmp_path / "two")
    assert area.discard(file.sha256, ".pdf", touched_before=LATER)


def test_elsewhere_the_same_holds() -> None:
    """Where fsspec reaches: what is there is listed with its age; putting again makes it young, old ones go."""
    from fsspec.implementations.memory import MemoryFileSystem

    store = CheckpointStore("memory://pruned")
    digest = store.put(b"x", ".jsonl")
    store.put(b"yy")
    assert [(one.digest == digest, one.suffix, one.size) for one in store.stored()] in (
        [(True, ".jsonl", 1), (False, "", 2)],
        [(False, "", 2), (True, ".jsonl", 1)],
    )
    assert store.folder is None
    [path] = (path for path in MemoryFileSystem.store if path.endswith(".jsonl"))
    assert not store.discard(digest, ".jsonl", touched_before=LATER)
    MemoryFileSystem.store[path].modified = MemoryFileSystem.store[path].modified.fromtimestamp(OLD).astimezone()
    assert [one.touched for one in store.stored() if one.suffix] == [pytest.approx(OLD)]
    store.put(b"x", ".jsonl")
    assert not store.discard(digest, ".jsonl", touched_before=LATER)
    MemoryFileSystem.store[path].modified = MemoryFileSystem.store[path].modified.fromtimestamp(OLD).astimezone()
    assert store.discard(digest, ".jsonl", touched_before=LATER)
    assert not store.discard(digest, ".jsonl", touched_before=LATER)
    MemoryFileSystem.store.clear()


def test_listing_knows_finished_files_only(tmp_path: Path) -> None:
    """Digest, suffix and size of each file; unfinished ones and strangers are left out."""
    area = FileArea(tmp_path)
    file = area.put([b"abc"], suffix=".tar.gz")
    folder = tmp_path / file.sha256[:2]
    (folder / ".half.tmp").write_bytes(b"h")
    (folder / "readme").write_bytes(b"r")
    (tmp_path / ".incoming-1").write_bytes(b"in")
    assert [(one.digest, one.suffix, one.size) for one in stored(tmp_path)] == [(file.sha256, ".tar.gz", 3)]
    assert list(leftovers(tmp_path, touched_before=LATER)) == []
    for path in (folder / ".half.tmp", tmp_path / ".incoming-1"):
        os.utime(path, (OLD, OLD))
    assert list(leftovers(tmp_path, touched_before=OLD - 1)) == []
    assert list(leftovers(tmp_path, touched_before=LATER)) == [(tmp_path / ".incoming-1", 2), (folder / ".half.tmp", 1)]
    assert list(stored(tmp_path / "none")) == list(leftovers(tmp_path / "none", touched_before=LATER)) == []


def test_nobody_loses_what_he_has_just_stored(tmp_path: Path) -> None:
    """Beside somebody who takes everything old away, a checkpoint that was put is there and stays."""
    store, done = CheckpointStore(tmp_path), threading.Event()
    digest = store.put(b"x" * 1000)
    path = tmp_path / digest[:2] / digest

    def prune() -> None:
        while not done.is_set():
            take_away(path, touched_before=LATER)

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for _ in range(300):
            with suppress(FileNotFoundError):  # it went before it could be made old
                os.utime(path, (OLD, OLD))
            store.put(b"x" * 1000)
            assert store.get(digest) == b"x" * 1000
    finally:
        done.set()
        thread.join()


def test_who_takes_away_waits_for_who_stores(tmp_path: Path) -> None:
    """A file that is being stored once more is looked at when that is done, and then it is young."""
    store, said = CheckpointStore(tmp_path), list[bool]()
    digest = store.put(b"x")
    path = aged(tmp_path)
    thread = threading.Thread(target=lambda: said.append(take_away(path, touched_before=LATER)))
    with storing(path.parent):
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        touch(path)
    thread.join()
    assert said == [False]
    assert store.has(digest)


@pytest.mark.parametrize("store", ["checkpoint", "file"])
def test_who_stores_waits_for_who_takes_away(tmp_path: Path, store: str) -> None:
    """A checkpoint or file is not counted on while somebody decides about it."""
    put = CheckpointStore(tmp_path).put if store == "checkpoint" else lambda data: FileArea(tmp_path).put([data])
    put(b"x")
    folder = aged(tmp_path).parent
    thread = threading.Thread(target=put, args=(b"x",))
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    os.close(descriptor)
    thread.join()


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """A name that cannot be looked up, and a folder that is a file, are errors that name it."""
    store = CheckpointStore(tmp_path)
    digest = store.put(b"x")
    with pytest.raises(StorageError, match="cannot be removed: File name too long"):
        store.discard(digest, "." + "x" * 300, touched_before=LATER)
