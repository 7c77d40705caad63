"""The checkpoint store: content names, verified reads, whole writes, and errors that say what to do."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medical_kg.orchestration.checkpoints import CheckpointStore
from medical_kg.orchestration.contract.errors import SettingsError, StorageError

DATA = b'{"id": "NCT00000102"}\n'
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["folder", "file-url", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """One of the places a store may be in."""
    if request.param == "memory":
        from fsspec.implementations.memory import MemoryFileSystem

        yield "memory://checkpoints"
        MemoryFileSystem.store.clear()
    else:
        folder = tmp_path / "check points"
        yield folder.as_uri() if request.param == "file-url" else str(folder)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_put_can_be_got(place: str) -> None:
    """Bytes come back by their digest and suffix, wherever the store is."""
    store = CheckpointStore(place)
    assert not store.has(DIGEST, ".jsonl")
    assert store.put(DATA, ".jsonl") == DIGEST
    assert store.has(DIGEST, ".jsonl")
    assert CheckpointStore(place).get(DIGEST, ".jsonl") == DATA
    assert not store.has(DIGEST, ".other")


def test_empty_bytes_are_a_checkpoint_too(place: str) -> None:
    """An empty output is stored like any other."""
    store = CheckpointStore(place)
    digest = store.put(b"")
    assert store.has(digest)
    assert store.get(digest) == b""


def test_missing_checkpoint_says_what_to_do(place: str) -> None:
    """Reading what is not there names the file and two ways out."""
    with pytest.raises(StorageError, match=rf"{DIGEST}\.jsonl is missing.*settings.*resume the submission"):
        CheckpointStore(place).get(DIGEST, ".jsonl")


def test_files_are_named_by_content(tmp_path: Path) -> None:
    """A local file stands at the first two digits of its digest, the digest and the suffix; nothing else is left."""
    CheckpointStore(tmp_path / "a" / "b").put(DATA, ".jsonl")
    assert files_below(tmp_path) == [f"a/b/{DIGEST[:2]}/{DIGEST}.jsonl"]


def test_an_existing_file_is_not_written_again(tmp_path: Path) -> None:
    """Equal bytes leave the file as it is, but young again: nobody prunes it."""
    store = CheckpointStore(tmp_path)
    path = tmp_path / DIGEST[:2] / store.put(DATA)
    os.utime(path, (0, 0))
    before = path.stat()
    store.put(DATA)
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > 0


def test_damage_is_seen_and_healed(tmp_path: Path) -> None:
    """A file whose content is not what its name says is refused; a truncated one is replaced by the next put."""
    store = CheckpointStore(tmp_path)
    path = tmp_path / DIGEST[:2] / store.put(DATA)
    path.write_bytes(DATA[:-1])
    with pytest.raises(StorageError, match=rf"{path} is damaged.*delete it and resume"):
        store.get(DIGEST)
    store.put(DATA)
    assert store.get(DIGEST) == DATA


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A store below something that is no folder says where, why and what to do."""
    (tmp_path / "file").write_text("")
    store = CheckpointStore(tmp_path / "file")
    with pytest.raises(
        StorageError, match=rf"{tmp_path / 'file'}: (Not a directory|File exists); a file is in the way"
    ):
        store.put(DATA)
    with pytest.raises(StorageError, match="Not a directory; see that the place can be read"):
        store.get(DIGEST)
    assert not store.has(DIGEST)


def test_a_name_that_cannot_be_looked_up_is_an_error(tmp_path: Path) -> None:
    """``has`` says no only when the file is not there; any other answer of the system is an error."""
    store = CheckpointStore(tmp_path)
    store.put(DATA)
    with pytest.raises(StorageError, match="File name too long"):
        store.has(DIGEST, "." + "x" * 300)


def test_a_write_that_cannot_be_named_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the finished file cannot take its name, the temporary one goes."""
    (tmp_path / DIGEST[:2] / DIGEST).mkdir(parents=True)
    with pytest.raises(StorageError, match="Is a directory; see that the place is there"):
        CheckpointStore(tmp_path).put(DATA)
    assert files_below(tmp_path) == []


PUT = """
import sys
from medical_kg.orchestration.checkpoints import CheckpointStore
from medical_kg.orchestration.contract.errors import StorageError

def attempt(folder, size):
    try:
        CheckpointStore(folder).put(b"x" * size, ".jsonl")
    except StorageError as error:
        print(error)
        raise SystemExit(3)
"""


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PUT + script, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_write_cut_off_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the system stops a write half-way the error names folder, cause and remedy, and no file is left."""
    limited = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
attempt(sys.argv[1], 50_000)
"""
    done = run(limited, tmp_path)
    assert done.returncode == 3, done.stderr
    assert f"cannot write checkpoints in {tmp_path}: File too large" in done.stdout
    assert "ulimit -f" in done.stdout
    assert files_below(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the disk is full the error says so and what to do, and what was finished before stays readable."""
    full = """
import pathlib
CheckpointStore(sys.argv[1]).put(b"before", "")
real_open = pathlib.Path.open
class Full:
    def __init__(self, file): self._file = file
    def __enter__(self): return self
    def __exit__(self, *exc): self._file.close()
    def write(self, data):
        self._file.write(data[:100])
        with open("/dev/full", "wb", buffering=0) as full: full.write(data)
pathlib.Path.open = lambda self, mode: Full(real_open(self, mode))
attempt(sys.argv[1], 50_000)
"""
    done = run(full, tmp_path)
    assert done.returncode == 3, done.stderr
    assert f"cannot write checkpoints in {tmp_path}: No space left on device; make room on the disk" in done.stdout
    before = hashlib.sha256(b"before").hexdigest()
    assert files_below(tmp_path) == [f"{before[:2]}/{before}"]


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that everybody may read and nobody but root may write; its parents are open to all."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_missing_right_is_named(locked_folder: Path) -> None:
    """Without the right to write the error names folder, cause and remedy (root gives its rights up first)."""
    powerless = """
import os
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
attempt(sys.argv[1], 10)
"""
    done = run(powerless, locked_folder)
    assert done.returncode == 3, done.stderr
    assert f"cannot write checkpoints in {locked_folder}: Permission denied; give this user the right" in done.stdout
    assert files_below(locked_folder) == []


def test_a_killed_write_shows_no_file(tmp_path: Path) -> None:
    """A process that dies before the file is whole leaves nothing under the file's name."""
    killed = """
import os, signal
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
attempt(sys.argv[1], 50_000)
"""
    assert run(killed, tmp_path).returncode < 0
    digest = hashlib.sha256(b"x" * 50_000).hexdigest()
    assert not CheckpointStore(tmp_path).has(digest, ".jsonl")


def test_a_local_store_needs_no_fsspec(tmp_path: Path) -> None:
    """Only a store reached by URL imports fsspec."""
    done = run("attempt(sys.argv[1], 10); raise SystemExit(4 if 'fsspec' in sys.modules else 0)", tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_url_nothing_can_reach_is_a_settings_error() -> None:
    """An unknown protocol is refused at once; the message shows no secret of the URL."""
    with pytest.raises(SettingsError, match=r"nothing installed can keep checkpoints at nowhere://host/x\b") as caught:
        CheckpointStore("nowhere://user:secret@host/x")
    assert "secret" not in str(caught.value)


class Refusing:
    """A file system whose every call fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., object]:
        def refuse(*args: object, **options: object) -> object:
            raise self._error

        return refuse


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), RuntimeError("Permission denied")])
def test_errors_of_a_remote_place_are_storage_errors(error: Exception) -> None:
    """Whatever a file system behind fsspec raises reaches the reader as one kind of error that names the place."""
    store = CheckpointStore("memory://bucket/kg")
    store._files._fs = Refusing(error)  # type: ignore[attr-defined]  # reaching in is what this test is about
    with pytest.raises(StorageError, match=r"cannot read checkpoint memory://bucket/kg/.*Permission denied"):
        store.get(DIGEST)
    with pytest.raises(StorageError, match=r"cannot read checkpoint memory://bucket/kg/.*Permission denied"):
        store.has(DIGEST)


class Empty(Refusing):
    """One that can be looked at, and holds nothing."""

    def info(self, path: str) -> object:
        raise FileNotFoundError(path)


def test_a_remote_place_that_takes_no_file_is_named() -> None:
    """A write that a remote place refuses names it and what to do."""
    store = CheckpointStore("memory://bucket/kg")
    store._files._fs = Empty(PermissionError(13, "Permission denied"))  # type: ignore[attr-defined]  # as above
    with pytest.raises(StorageError, match="cannot write checkpoints in memory://bucket/kg: Permission denied; give"):
        store.put(DATA)


def test_writers_of_equal_bytes_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Several processes may put the same bytes at once; one whole file is what comes of it."""
    command = [sys.executable, "-c", PUT + "attempt(sys.argv[1], 3_000_000)", str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    digest = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert files_below(tmp_path) == [f"{digest[:2]}/{digest}.jsonl"]
    assert len(CheckpointStore(tmp_path).get(digest, ".jsonl")) == 3_000_000


def test_what_is_removed_is_gone_at_once(place: str) -> None:
    """However lately it was put; removing it again finds nothing."""
    store = CheckpointStore(place)
    store.put(DATA, ".jsonl")
    assert store.remove(DIGEST, ".jsonl")
    assert not store.has(DIGEST, ".jsonl")
    assert not store.remove(DIGEST, ".jsonl")


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """In a folder and at a remote place."""
    (tmp_path / DIGEST[:2] / DIGEST).mkdir(parents=True)
    with pytest.raises(StorageError, match=f"{DIGEST} cannot be removed: "):
        CheckpointStore(tmp_path).remove(DIGEST)
    remote = CheckpointStore("memory://bucket/kg")
    remote._files._fs = Refusing(PermissionError(13, "Permission denied"))  # type: ignore[attr-defined]  # as above
    with pytest.raises(StorageError, match="memory://bucket/kg: Permission denied"):
        remote.remove(DIGEST)
