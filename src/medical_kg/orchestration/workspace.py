"""A workspace: one folder with the ledger, index and graph, checkpoints, files and Dagster's history.

Its settings stand in ``medical_kg.toml``, in the folder itself or beside it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, field_validator

from medical_kg.orchestration.contract import SystemClock
from medical_kg.orchestration.contract.errors import SettingsError, StorageError, near
from medical_kg.orchestration.contract.model import Model, plainly
from medical_kg.orchestration.discovery import SETTINGS_FILE
from medical_kg.orchestration.fetching.settings import HttpSettings
from medical_kg.orchestration.isolation import Environment, Environments
from medical_kg.orchestration.registry import Installation, PluginSettings
from medical_kg.orchestration.tenants import existing, sqlite_in, view_of

if TYPE_CHECKING:
    from medical_kg.orchestration.checkpoints import CheckpointStore
    from medical_kg.orchestration.contract import Clock, Files, WorkspaceView
    from medical_kg.orchestration.execution import BatchRun
    from medical_kg.orchestration.fetching import HttpService
    from medical_kg.orchestration.ledger.contract import Ledger
    from medical_kg.orchestration.pipeline.plan import PlannedStage

ENVIRONMENT = "MEDICAL_KG_WORKSPACE"
FOLDER = ".medical-kg"
LEASE_SECONDS = 60.0
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class StorageSettings(Model):
    """Table ``[workspace]``: where things are kept, when not in the folder, and where pipelines are looked for.

    ``database_url`` is an SQLAlchemy URL, ``checkpoints`` a folder or an fsspec URL, ``pipelines`` holds more folders.
    Relative folders, and the relative path of an SQLite database, are taken from where the settings file is.
    ``lease_seconds`` is how long a run that has died without a word keeps its batch; ``launch_grace_seconds`` how long a
    run that the daemon starts may take to begin.
    """

    database_url: str | None = None
    checkpoints: str | None = None
    pipelines: tuple[Path, ...] = ()
    lease_seconds: Seconds = LEASE_SECONDS
    launch_grace_seconds: Seconds = LEASE_SECONDS


class PruneSettings(Model):
    """Table ``[prune]``: what ``workspace prune`` does unless told otherwise.

    ``older_than`` is an age such as ``30d``, ``compact`` whether SQLite's files are made smaller afterwards.
    """

    older_than: str = "30d"
    compact: bool = False

    @field_validator("older_than")
    @classmethod
    def _is_age(cls, text: str) -> str:
        age_of(text)
        return text

    @property
    def age(self) -> timedelta:
        """``older_than`` as a duration."""
        return age_of(self.older_than)


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def age_of(text: str) -> timedelta:
    """Return an age such as ``30d``, ``12h`` or ``2w`` (seconds s, minutes m, hours h, days d, weeks w).

    Raises:
        ValueError: the text is no such age.
    """
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no age; write a number and a unit, e.g. 30d, 12h or 2w")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


class Settings(Model):
    """``medical_kg.toml``. Other tables belong to plugins and are not looked into."""

    model_config = ConfigDict(extra="allow", frozen=True)

    workspace: StorageSettings = Field(default_factory=StorageSettings)
    plugins: PluginSettings = Field(default_factory=PluginSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    prune: PruneSettings = Field(default_factory=PruneSettings)
    environments: Mapping[str, Environment] = Field(default_factory=dict)


class Workspace:
    """An open workspace. Its parts are opened when first used; ``close`` lets go of them.

    Args:
        root: the folder; made when something is first kept in it.
        clock: time, for everything that runs in it.
        installation: the plugins; found from the settings unless given.
        settings: those to take, and the file they are of; read from the folder, or from beside it, unless given.

    Raises:
        SettingsError: ``medical_kg.toml`` cannot be read; the message names the field.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock | None = None,
        installation: Installation | None = None,
        settings: tuple[Path | None, Settings] | None = None,
    ) -> None:
        """Read the settings."""
        self.root = _in_utf8(root.absolute())
        self.clock: Clock = clock or SystemClock()
        self.settings_path, self._settings = settings or read_settings(self.root)
        folder = (self.settings_path or self.root).parent
        self.installation = installation or Installation(self._settings.plugins, folder=folder)
        self.environments = Environments(
            self._settings.environments, folder=(self.settings_path or self.root).parent, root=self.root
        )
        self._ledger: Ledger | None = None

    @classmethod
    def find(cls, root: Path | None = None, *, clock: Clock | None = None) -> Workspace:
        """Return the workspace at ``root``, else the one MEDICAL_KG_WORKSPACE names, else ``.medical-kg`` here."""
        return cls(root or Path(os.environ.get(ENVIRONMENT) or FOLDER), clock=clock)

    def apart(self, root: Path) -> Workspace:
        """Return a workspace in another folder that keeps everything there, with this one's plugins, settings and pipelines."""
        kept = {"database_url": None, "checkpoints": None, "pipelines": self.pipeline_folders}
        storage = self._settings.workspace.model_copy(update=kept)
        settings = self._settings.model_copy(update={"workspace": storage})
        return Workspace(
            root, clock=self.clock, installation=self.installation, settings=(self.settings_path, settings)
        )

    def settings(self, table: str) -> Mapping[str, Any]:
        """Return one table of the settings, empty where there is none.

        Raises:
            SettingsError: the settings have a plain value of this name instead of a table.
        """
        if table in Settings.model_fields:
            ours: Mapping[str, Any] = self._settings.model_dump(mode="json", include={table})[table]
            return ours
        found = (self._settings.model_extra or {}).get(table, {})
        if not isinstance(found, Mapping):
            raise SettingsError(f"{self.settings_path}: {table} must be a table, [{table}], not {found!r}")
        return found

    @property
    def pruning(self) -> PruneSettings:
        """What ``prune`` does unless told otherwise."""
        return self._settings.prune

    @property
    def database_url(self) -> str:
        """The database of ledger, index and graph."""
        url = self._settings.workspace.database_url or sqlite_in(self.root)
        path = url.removeprefix("sqlite:///")
        # From the working directory, as SQLAlchemy takes it, each place would have a database of its own.
        is_relative = path != url and path and not path.startswith(("/", ":memory:", "file:"))
        return sqlite_in(self._beside_settings(Path()), path) if is_relative else url

    @property
    def lease_seconds(self) -> float:
        """How long a batch stays with a run that gives no sign of life."""
        return self._settings.workspace.lease_seconds

    @property
    def launch_grace_seconds(self) -> float:
        """How long a run that was started for a batch may take to claim it."""
        return self._settings.workspace.launch_grace_seconds

    @property
    def pipeline_folders(self) -> tuple[Path, ...]:
        """Where pipelines are looked for before the shipped ones."""
        return (self.root / "pipelines", *map(self._beside_settings, self._settings.workspace.pipelines))

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened (and its schema brought up to date) at first use."""
        if self._ledger is None:
            from medical_kg.orchestration.ledger.sql import open_ledger

            self._make_root()
            self._ledger = open_ledger(self.database_url, clock=self.clock)
        return self._ledger

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """The checkpoint store."""
        from medical_kg.orchestration.checkpoints import CheckpointStore

        place = self._settings.workspace.checkpoints or str(self.root / "checkpoints")
        is_url = "://" in place or place.startswith("file:")
        return CheckpointStore(place if is_url else self._beside_settings(Path(place)))

    @cached_property
    def files(self) -> Files:
        """The file area."""
        from medical_kg.orchestration.services import FileArea

        return FileArea(self.root / "files", allow_roots=self._roots())

    @cached_property
    def http(self) -> HttpService:
        """Fetching from what the settings allow."""
        from medical_kg.orchestration.fetching import user_agent
        from medical_kg.orchestration.services import HttpService

        settings = self._settings.http
        return HttpService(
            settings.allow_hosts,
            self._roots(),
            public=settings.allow_public,
            trust_environment=settings.trust_environment,
            user_agent=user_agent(settings.contact),
            limits=settings.limits,
            clock=self.clock,
        )

    def services(self, run: BatchRun, planned: PlannedStage) -> Mapping[str, Any]:
        """Return the services that a stage's metadata asks for."""
        from medical_kg.orchestration.signals import LedgerSignals

        makers: dict[str, Callable[[], Any]] = {
            "signals": lambda: LedgerSignals(
                run.ledger, run.submission, run.batch, planned.name, self.clock, run.on_told
            ),
            "files": lambda: self.files,
            "http": lambda: self.http,
            "plugins": lambda: self.installation,
            "workspace": lambda: self.of_tenant(run.submission.tenant),
        }
        return {name: makers[name]() for name in planned.type.metadata.needs}

    def of_tenant(self, tenant: str, *, known: bool = False) -> WorkspaceView:
        """Return the workspace as the stages of a tenant see it; ``known`` asks for one that has run something.

        Raises:
            InputError: there is no such tenant.
        """
        return existing(self, tenant) if known else view_of(self, tenant)

    def close(self) -> None:
        """Let go of connections, of the ledger's database and of idle workers."""
        self.environments.close()
        if "http" in self.__dict__:
            self.http.close()
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _roots(self) -> tuple[Path, ...]:
        return tuple(map(self._beside_settings, self._settings.http.allow_roots))

    def _beside_settings(self, path: Path) -> Path:
        return (self.settings_path or self.root).parent / path

    def _make_root(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the workspace {self.root} cannot be made: {error.strerror or error}") from error


def _in_utf8(path: Path) -> Path:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        said = os.fsencode(path).decode(errors="replace")
        msg = f"the workspace's path {said} is not UTF-8 here; choose another, or set the variable PYTHONUTF8=1"
        raise SettingsError(msg) from error
    return path


def read_settings(root: Path) -> tuple[Path | None, Settings]:
    """Return the settings of the workspace at ``root`` and the file they came from (None where there is none).

    Raises:
        SettingsError: the file is not TOML, or a field is wrong.
    """
    for path in (root / SETTINGS_FILE, root.parent / SETTINGS_FILE):
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} cannot be read: {error}") from error
        return path, _parse(path, text)
    return None, Settings()


def _parse(path: Path, text: str) -> Settings:
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(_said(found["loc"], found["type"], plainly(found["msg"])) for found in error.errors())
        raise SettingsError(f"{path}: {problems}") from error


def _said(place: tuple[int | str, ...], kind: str, message: str) -> str:
    table, *inside = map(str, place)
    # pydantic marks a key that is wrong, rather than its value, by "[key]" after it.
    where = f"[{table}] {'.'.join(inside)}".strip().removesuffix(".[key]")
    if kind != "extra_forbidden":
        return f"{where}: {message}"
    model = Environment if table == "environments" else Settings.model_fields[table].annotation
    return f"{where}: there is no such setting; {near(inside[-1], getattr(model, 'model_fields', {}))}"
