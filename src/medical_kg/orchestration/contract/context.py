"""What a stage is told and may ask for while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from pydantic import field_validator

from medical_kg.orchestration.contract.errors import ContractError, StageTimeout
from medical_kg.orchestration.contract.model import Model

if TYPE_CHECKING:
    import logging
    from pathlib import Path
    from typing import BinaryIO

    from medical_kg.orchestration.contract.conditions import Condition, NamedCondition


class Attachment(Model):
    """A file that came with a signal."""

    uri: str
    media_type: str
    sha256: str | None = None
    item_id: str | None = None


class Signal(Model):
    """A named fact told from outside: the newest value, with who told it and when (seconds since the epoch).

    As in a condition, ``ledger.X`` is another spelling of the name ``X``.
    """

    name: str
    value: Any = True
    attachments: tuple[Attachment, ...] = ()
    actor: str = ""
    at: float = 0.0

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return name.removeprefix("ledger.")


class StoredFile(Model):
    """A file in the workspace's file area, named by its content. ``size`` is in bytes."""

    uri: str
    sha256: str
    size: int


class Signals(Protocol):
    """Service ``signals``: what was told to this batch or its submission (the batch's own word counts first)."""

    def all(self) -> Mapping[str, Signal]:
        """Return every signal by name."""

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds now; ``changed`` compares with the values at this stage's first wait."""

    def tell(
        self,
        name: str,
        value: Any,
        *,
        attachments: Iterable[Attachment] | None = None,
        pipeline: str | None = None,
        reply: bool = False,
    ) -> int:
        """Tell a signal to this submission, or to every unfinished submission of ``pipeline`` in the same tenant.

        With attachments (a list, if empty), which belong to a batch, this submission is told for this batch alone. With ``reply`` it is
        told to the submission, and batch, whose signal started this submission; one that has completed takes it for
        items that are processed again. Pipelines that the signal triggers are started.
        Returns how many submissions were told.
        """


class UnfinishedFile(Protocol):
    """A file of service ``files`` that is being written; gone unless it is kept."""

    @property
    def size(self) -> int:
        """How many bytes were written."""

    def write(self, chunk: bytes, /) -> None:
        """Write more of it; raises ``StorageError`` when that fails."""

    def keep(self, *, suffix: str = "") -> StoredFile:
        """Store it under the name of its content, atomically."""

    def discard(self) -> None:
        """Give it up; after ``keep`` this does nothing."""


class Files(Protocol):
    """Service ``files``: the workspace's file area. Files are named by their content and written atomically."""

    def put(self, chunks: Iterable[bytes], *, suffix: str = "") -> StoredFile:
        """Store the bytes; a break in the middle leaves nothing behind."""

    def begin(self) -> UnfinishedFile:
        """Begin a file that is written in pieces, perhaps over several calls of a stage."""

    def open(self, uri: str) -> BinaryIO:
        """Open a stored file for reading; raises ``StorageError`` when it is gone."""


class Fetched(Protocol):
    """An open response of service ``http``; a context manager."""

    status: int
    url: str
    headers: Mapping[str, str]

    def chunks(self) -> Iterable[bytes]:
        """Give the body in pieces, decoded; stops with an error at the size limit."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *exc: object) -> None:
        """Close the connection."""


class Http(Protocol):
    """Service ``http``: fetches from the folders and hosts that the workspace's settings allow, nothing else."""

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        per_second: float | None = None,
    ) -> Fetched:
        """Open ``url`` (``file://``, ``http://``, ``https://``).

        ``per_second`` is for a service that says how often it may be asked: requests to its host that say so wait until they
        keep to it, those of all processes of the workspace together and whatever their policies allow.

        Who sends ``If-None-Match`` or ``If-Modified-Since`` may be answered with status 304, who sends ``Range`` with 206
        or 416; nobody else is.

        Raises ``ItemRejected`` for what is not allowed or permanently absent, ``TransientError`` for what may pass.
        """

    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None
    ) -> Fetched:
        """Send ``body`` to ``url`` (``http://``, ``https://``) and open the answer; redirects are not followed.

        The caller judges the answer's ``status``. Raises ``ItemRejected`` for what is not allowed, ``TransientError`` for
        what may pass (HTTP 408, 425, 429 and 5xx among it).
        """


class Plugins(Protocol):
    """Service ``plugins``: what is installed behind the other doors, by name."""

    def get(self, door: str, name: str) -> Any:
        """Load and return the object behind an entry point; raises ``PluginNotFound`` or ``PluginBroken``."""

    def names(self, door: str) -> tuple[str, ...]:
        """Return the usable names of a door, without importing any."""


class WorkspaceView(Protocol):
    """Service ``workspace``: where this installation keeps the data of the submission's tenant."""

    @property
    def root(self) -> Path:
        """The folder; a tenant other than ``default`` has its own."""

    @property
    def database_url(self) -> str:
        """The database for what stages keep, as SQLAlchemy takes it; likewise."""

    def settings(self, table: str) -> Mapping[str, Any]:
        """Return one table of ``medical_kg.toml``, empty where there is none."""


class Clock(Protocol):
    """Time as the engine sees it; tests put a fake in its place."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds from some fixed point, never going back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@dataclass(slots=True)
class StageContext:
    """What a stage is told: where it runs, its config, and the services its metadata asked for.

    Attributes:
        pipeline, stage, submission_id, batch_id, tenant: where this call belongs.
        sequence: grows with each submission; tells a store which version of a root is newer.
        config: the stage's validated config.
        input: what the submission was asked to process, e.g. ``{"input": "trials/", "limit": 10}``.
        conditions: the pipeline's named conditions.
        logger: carries the ids above with each record.
        clock: time; use it instead of ``time`` so that tests need not wait.
        timed_out: the stage waited past its deadline and was told to continue.
        isolated: the call is made in a worker process, which may crash or hang without harm to others.
    """

    pipeline: str
    stage: str
    submission_id: str
    batch_id: str
    tenant: str
    config: Any
    logger: logging.LoggerAdapter[logging.Logger]
    sequence: int = 0
    input: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, NamedCondition] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    timed_out: bool = False
    isolated: bool = False
    _deadline: float | None = None

    def service(self, name: str) -> Any:
        """Return a service by name.

        Raises:
            ContractError: the stage's metadata does not declare it in ``needs``.
        """
        try:
            return self.services[name]
        except KeyError:
            what = f"it asked for service {name!r}, which its metadata does not declare in needs"
            raise ContractError(f"stage {self.stage!r}", what) from None

    @property
    def signals(self) -> Signals:
        """Service ``signals``."""
        return cast("Signals", self.service("signals"))

    @property
    def files(self) -> Files:
        """Service ``files``."""
        return cast("Files", self.service("files"))

    @property
    def http(self) -> Http:
        """Service ``http``."""
        return cast("Http", self.service("http"))

    @property
    def plugins(self) -> Plugins:
        """Service ``plugins``."""
        return cast("Plugins", self.service("plugins"))

    @property
    def workspace(self) -> WorkspaceView:
        """Service ``workspace``."""
        return cast("WorkspaceView", self.service("workspace"))

    def start_call(self, timeout: float | None) -> None:
        """Start the time of one call (the engine does this); ``timeout`` in seconds."""
        self._deadline = None if timeout is None else self.clock.monotonic() + timeout

    def extend_call(self, seconds: float) -> None:
        """Move the end of the running call's time (the engine does this): it was made to wait so long."""
        if self._deadline is not None:
            self._deadline += seconds

    def remaining(self) -> float | None:
        """Seconds left of this call's ``timeout_seconds`` (never below 0); None when there is no limit."""
        return None if self._deadline is None else max(0.0, self._deadline - self.clock.monotonic())

    def check_timeout(self) -> None:
        """Call this now and then in long work.

        Raises:
            StageTimeout: the call has used up its ``timeout_seconds``; the engine retries it as the policy says.
        """
        if self.remaining() == 0.0:
            msg = f"stage {self.stage!r} used up the timeout_seconds of its policy"
            raise StageTimeout(msg)


SERVICES: Mapping[str, str] = {
    "signals": "what was told from outside, and telling it",
    "files": "the workspace's file area",
    "http": "fetching from allowed hosts and folders",
    "plugins": "plugins behind the other doors",
    "workspace": "where this installation keeps its data",
}
"""The services a stage may name in ``needs``."""
