"""Stand-ins for what a stage may ask of its context: time, signals, files, a workspace."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from medical_kg.orchestration.contract import Attachment, Condition, Signal, StoredFile, UnfinishedFile
from medical_kg.orchestration.contract.errors import StorageError


@dataclass
class FakeClock:
    """Time that stands still until somebody sleeps; ``slept`` keeps what was asked for, in seconds."""

    time: float = 1_700_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.time += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody sleeping."""
        self.time += seconds


class Told(NamedTuple):
    """A signal that a stage told; ``pipeline`` is None where it told its own submission, or replied."""

    name: str
    value: Any
    pipeline: str | None = None
    attachments: tuple[Attachment, ...] = ()
    reply: bool = False


@dataclass
class FakeSignals:
    """Service ``signals`` from plain values; ``told`` keeps what the stage told.

    What it tells its own submission is among the signals from then on, as in the engine.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    baseline: Mapping[str, Any] | None = None
    attachments: Mapping[str, tuple[Attachment, ...]] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def all(self) -> Mapping[str, Signal]:
        """Return the signals."""
        return {
            name: Signal(name=name, value=value, attachments=self.attachments.get(name, ()))
            for name, value in self.values.items()
        }

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds; the baseline is the present unless given."""
        return condition.holds(self.values, self.values if self.baseline is None else self.baseline)

    def tell(
        self,
        name: str,
        value: Any,
        *,
        attachments: Iterable[Attachment] | None = None,
        pipeline: str | None = None,
        reply: bool = False,
    ) -> int:
        """Note what was told."""
        said = Told(name, value, pipeline, tuple(attachments or ()), reply)
        self.told.append(said)
        if pipeline is None and not reply:
            self.values = {**self.values, name: value}
            self.attachments = {**self.attachments, name: said.attachments}
        return 1


@dataclass
class FakeFiles:
    """Service ``files`` in memory; ``stored`` maps address to bytes."""

    stored: dict[str, bytes] = field(default_factory=dict)

    def put(self, chunks: Iterable[bytes], *, suffix: str = "") -> StoredFile:
        """Keep the bytes; a break in the middle keeps nothing."""
        unfinished = self.begin()
        for chunk in chunks:
            unfinished.write(chunk)
        return unfinished.keep(suffix=suffix)

    def begin(self) -> UnfinishedFile:
        """Begin a file; it is in ``stored`` once it is kept."""
        return _FakeUnfinished(self.stored)

    def open(self, uri: str) -> BinaryIO:
        """Open what was kept."""
        if uri not in self.stored:
            raise StorageError(f"no file {uri!r} was stored")
        return io.BytesIO(self.stored[uri])


@dataclass
class _FakeUnfinished:
    stored: dict[str, bytes]
    data: bytes = b""

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, chunk: bytes, /) -> None:
        self.data += chunk

    def keep(self, *, suffix: str = "") -> StoredFile:
        digest = hashlib.sha256(self.data).hexdigest()
        uri = f"fake:{digest}{suffix}"
        self.stored[uri] = self.data
        return StoredFile(uri=uri, sha256=digest, size=len(self.data))

    def discard(self) -> None:
        self.data = b""


@dataclass
class FakeWorkspace:
    """Service ``workspace``: a folder (a test's ``tmp_path``) with a SQLite database in it, and settings as given."""

    root: Path
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """The database in the folder."""
        return f"sqlite:///{self.root / 'medical-kg.db'}"

    def settings(self, table: str) -> Mapping[str, Any]:
        """Return a table of the settings."""
        return self.tables.get(table, {})
