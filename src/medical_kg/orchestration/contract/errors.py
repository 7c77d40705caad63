"""Every error of medical-kg, in one tree, grouped by what the reader does next.

::

    MedicalKGError
    ├── UsageError                 fix the request, the file or the settings
    │   ├── InputError             the input is missing, empty or unreadable
    │   ├── SettingsError          medical_kg.toml or an environment variable is wrong
    │   ├── PipelineNotFound       no pipeline file has this name
    │   └── PipelineInvalid        the pipeline file has problems (all of them are listed)
    ├── PluginError                install, fix or remove a plugin
    │   ├── MetadataError          a metadata record or state key has an invalid field
    │   ├── ContractError          a plugin did something its metadata does not declare
    │   ├── PluginNotFound         nothing usable provides this name (the reason says why)
    │   ├── PluginConflict         several distributions claim this name
    │   ├── LockMismatch           plugins differ from their lock, and the settings refuse that
    │   ├── PluginBroken           the plugin could not be loaded
    │   └── EnvironmentBroken      no worker process can be had in this environment
    ├── StageError                 the work of a stage
    │   ├── TransientError         may succeed when called again: the engine retries
    │   │   ├── StageTimeout       a call used up its policy's timeout_seconds
    │   │   └── CircuitOpen        a host failed too often; no call is made until it has had time to recover
    │   ├── ItemRejected           this item cannot be processed: it becomes a dead letter
    │   ├── WorkerDied             a worker process ended before its work was done
    │   ├── TooManyFailed          more items of a batch failed than its pipeline allows
    │   ├── StageFailed            a stage of a batch failed (raised to whoever drives it)
    │   └── WaitTimedOut           a waiting stage reached its deadline
    ├── LedgerError                the durable record
    │   ├── RecordNotFound         no such submission, batch or stage result
    │   ├── IllegalTransition      the status may not change this way
    │   ├── StaleGeneration        another run has taken the batch over
    │   ├── BatchHeld              another run holds the batch, or it is done
    │   └── SchemaTooNew           the database was written by a newer release
    └── StorageError               a file, checkpoint or database could not be written or read

An error carries its facts as attributes; the message is built from them here, so raising is one short line.
``exit_code`` is what the command line returns for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def near(name: str, known: Iterable[str]) -> str:
    """Return a ready clause that names the nearest known names, or lists what exists."""
    from difflib import get_close_matches

    names = sorted(set(known))
    if close := get_close_matches(name, names, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(repr(match) for match in close)}?"
    return f"known: {', '.join(names)}" if names else "none are known"


class MedicalKGError(Exception):
    """Root of every error this package raises on purpose. It can be pickled: workers raise it too."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the finished message and the facts, whatever the constructor takes."""
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(kind: type[MedicalKGError], args: tuple[Any, ...]) -> MedicalKGError:
    error = kind.__new__(kind)
    error.args = args
    return error


class UsageError(MedicalKGError):
    """The request, a file or the settings must be changed."""

    exit_code = 2


class InputError(UsageError):
    """The input is missing, empty or unreadable."""


class SettingsError(UsageError):
    """The workspace's settings are wrong."""


class PipelineNotFound(UsageError):
    """No pipeline file has this name."""

    def __init__(self, name: str, known: Iterable[str], looked_in: Iterable[str] = ()) -> None:
        """Name the pipeline, those that exist and the folders that were searched."""
        self.name, self.known, self.looked_in = name, sorted(known), list(looked_in)
        places = f" (looked in {', '.join(self.looked_in)})" if self.looked_in else ""
        super().__init__(f"no pipeline is named {name!r}{places}; {near(name, self.known)}")


class PipelineInvalid(UsageError):
    """The pipeline file has problems; ``problems`` holds all of them, ready to print."""

    def __init__(self, source: str, problems: Sequence[object]) -> None:
        """Keep the problems; each prints with place, line, caret and suggestion."""
        self.source, self.problems = source, tuple(problems)
        count = len(self.problems)
        head = f"{source}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(str(problem) for problem in self.problems)]))


class PluginError(MedicalKGError):
    """A plugin must be installed, fixed or removed."""


class MetadataError(PluginError):
    """A metadata record or state key has an invalid field."""

    def __init__(self, plugin: str, field: str, value: object, reason: str) -> None:
        """Name the plugin, the field, the refused value and the reason."""
        self.plugin, self.field, self.value, self.reason = plugin, field, value, reason
        super().__init__(f"{plugin}: {field}={value!r} is refused: {reason}")


class ContractError(PluginError):
    """A plugin did something its metadata does not declare."""

    def __init__(self, plugin: str, what: str, *, key: str | None = None) -> None:
        """Name the plugin, what it did and, where there is one, the state key."""
        self.plugin, self.what, self.key = plugin, what, key
        super().__init__(f"{plugin} broke its contract: {what}")


class PluginNotFound(PluginError):
    """Nothing usable provides this name; ``reason`` says whether it is absent, blocked, broken or misspelt."""

    exit_code = 2

    def __init__(self, door: str, name: str, reason: str, advice: str) -> None:
        """Name the door, the name, why it was not found and what to do."""
        self.door, self.name, self.reason, self.advice = door, name, reason, advice
        super().__init__(f"{name!r} ({door}): {reason}; {advice}")


class PluginConflict(PluginError):
    """Several distributions claim this name and no setting prefers one."""

    exit_code = 2

    def __init__(self, door: str, name: str, claims: Sequence[str]) -> None:
        """Name every claim; the message says how to choose."""
        self.door, self.name, self.claims = door, name, tuple(claims)
        first = self.claims[0].split()[0]
        super().__init__(
            f"{name!r} ({door}) is claimed by {' and '.join(self.claims)}; choose one with "
            f'[plugins.prefer] "{name}" = "{first}" in medical_kg.toml, or write {first}:{name} in the pipeline'
        )


class PluginBroken(PluginError):
    """The plugin was found but could not be loaded; ``detail`` holds its traceback."""

    def __init__(self, door: str, name: str, provenance: str, reason: str, detail: str = "") -> None:
        """Name the plugin and where it comes from, and keep its traceback."""
        self.door, self.name, self.provenance, self.reason, self.detail = door, name, provenance, reason, detail
        super().__init__(f"{name!r} ({door}) from {provenance} is quarantined: {reason}")


class LockMismatch(PluginError):
    """Plugins differ from their lock, and the settings refuse to run then; nothing was run."""

    exit_code = 2

    def __init__(self, lock: str, differences: Iterable[object], advice: str) -> None:
        """Name the lock, every difference and what to do."""
        self.lock, self.differences, self.advice = lock, tuple(differences), advice
        super().__init__(f"plugins differ from {lock}: {'; '.join(map(str, self.differences))}; {advice}")


class EnvironmentBroken(PluginError):
    """No worker process can be had in this environment, or it does not answer as it should."""

    exit_code = 2

    def __init__(self, environment: str, reason: str) -> None:
        """Name the environment and what is wrong with it."""
        self.environment, self.reason = environment, reason
        super().__init__(f"environment {environment!r} cannot be used: {reason}")


class StageError(MedicalKGError):
    """The work of a stage."""


class TransientError(StageError):
    """May succeed when called again; the engine retries it as the stage's policy says.

    ``retry_after`` (seconds) is the least time to wait, e.g. from an HTTP Retry-After header. ``put_off_for`` is the engine's
    word, not a stage's: the batch is to be taken up again after so many seconds, instead of waiting here.
    """

    put_off_for: float | None = None

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Keep the message and the least time to wait."""
        self.retry_after = retry_after
        super().__init__(message)


class StageTimeout(TransientError):
    """A call used up its policy's ``timeout_seconds``."""


class CircuitOpen(TransientError):
    """No call was made: those before failed too often in a row. ``retry_after`` is the time until one may be made."""

    def __init__(self, what: str, failures: int, retry_after: float) -> None:
        """Name what failed, how often in a row, and the seconds until it is tried again."""
        self.what, self.failures = what, failures
        told = f"the circuit breaker of {what} is open after {failures} failures in a row"
        super().__init__(f"{told}; it is tried again in {retry_after:.0f} s", retry_after=retry_after)
        self.put_off_for = retry_after


class ItemRejected(StageError):
    """This item cannot be processed; it becomes a dead letter and the rest goes on."""


class WorkerDied(StageError):
    """A worker process, of an isolated stage or of whole batches, ended before its work was done, by itself or at a limit."""


class TooManyFailed(StageError):
    """More items of a batch failed than ``max_failed_items`` of its pipeline allows."""

    def __init__(self, batch_id: str, failed: int, allowed: int, limit: int | str, total: int | None) -> None:
        """Name the batch, how many failed, how many may, the limit as written and what it is taken of."""
        self.batch_id, self.failed, self.allowed, self.limit, self.total = batch_id, failed, allowed, limit, total
        given = f"{limit} of {total}, that is {allowed}," if isinstance(limit, str) else str(limit)
        super().__init__(
            f"{failed} items of batch {batch_id} failed; max_failed_items allows {given} at most; mend the cause or "
            "raise the limit, then retry the batch"
        )


class StageFailed(StageError):
    """A stage of a batch failed; the cause is chained."""

    def __init__(self, stage: str, batch_id: str, reason: str) -> None:
        """Name the stage, the batch and the reason."""
        self.stage, self.batch_id, self.reason = stage, batch_id, reason
        super().__init__(f"stage {stage!r} of batch {batch_id} failed: {reason}")


class WaitTimedOut(StageError):
    """A waiting stage reached its deadline and its condition did not hold."""


class LedgerError(MedicalKGError):
    """The durable record of submissions and batches."""


class RecordNotFound(LedgerError):
    """No such record in the ledger."""

    exit_code = 2

    def __init__(self, kind: str, ident: str, known: Iterable[str] = ()) -> None:
        """Name the kind of record, the id asked for and, if few, those that exist."""
        self.kind, self.ident = kind, ident
        names = list(known)
        hint = f"; {near(ident, names)}" if names else ""
        super().__init__(f"no {kind} {ident!r} in the ledger{hint}")


class IllegalTransition(LedgerError):
    """The status may not change this way."""

    exit_code = 2

    def __init__(self, what: str, old: str, new: str, allowed: Iterable[str]) -> None:
        """Name what should change, both states and the moves that are legal."""
        self.what, self.old, self.new, self.allowed = what, old, new, sorted(allowed)
        legal = ", ".join(self.allowed) or "none (it is final)"
        super().__init__(f"{what} cannot go from {old} to {new}; legal moves: {legal}")


class StaleGeneration(LedgerError):
    """Another run has taken the batch over; this one's commit is refused."""

    def __init__(self, batch_id: str, ours: int, current: int) -> None:
        """Name the batch and both generations."""
        self.batch_id, self.ours, self.current = batch_id, ours, current
        super().__init__(f"batch {batch_id} is at generation {current}; this run holds {ours} and may not commit")


class BatchHeld(LedgerError):
    """Another run holds the batch, or there is nothing left to do in it."""


class SchemaTooNew(LedgerError):
    """The database was written by a newer release."""

    exit_code = 2

    def __init__(self, url: str, found: str, known: str) -> None:
        """Name the database and both schema revisions."""
        self.url, self.found, self.known = url, found, known
        super().__init__(
            f"{url} has schema {found}, newer than {known}, the newest this release knows; upgrade medical-kg"
        )


class StorageError(MedicalKGError):
    """A file, checkpoint or database could not be written or read."""
