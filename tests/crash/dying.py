"""What a program of the crash suite is: medical-kg, once it has arranged its own death.

``python dying.py`` imports medical-kg once and forks for each request (JSON, a line of standard input): the child becomes
``medical-kg WORD …``, its end is told by a line of standard output. Starting costs nothing so, and each program is what a
user has, with one more function around a few. Nothing else of the suite is imported here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

SCHEMA = re.compile(r"\s*(CREATE|ALTER|DROP)\b", re.IGNORECASE)
LEDGER = ("open_submission", "claim", "set_run", "commit", "settle", "tell", "note")
"""Methods of the ledger that are points to die at; ``commit`` of one stage if the orders name it."""


class Orders(TypedDict, total=False):
    """Where to die: at which call of a point, before it, after it, or inside: its transaction made, not committed.

    ``witness`` is a file that is told of each stage that begins; ``number`` is the signal; ``lease`` shortens the lease.
    """

    point: str
    stage: str
    when: str
    count: int
    number: int
    witness: str
    lease: float


class _Here(threading.local):
    inside = False


class Death:
    """Dies when a point has been reached often enough."""

    def __init__(self, orders: Orders) -> None:
        self.when, self._left = orders.get("when", "before"), orders.get("count", 1)
        self._number = orders.get("number", signal.SIGKILL)
        self._here, self._turn = _Here(), threading.Lock()

    def reached(self) -> bool:
        """Count one more call; whether it is the one."""
        with self._turn:
            self._left -= 1
            return self._left == 0

    def come(self, *_: Any) -> None:
        """Die now; of a signal that only stops, go on when woken."""
        os.kill(os.getpid(), self._number)

    def at_commit(self, *_: Any) -> None:
        """Die if a call that is to die inside is at work in this thread."""
        if self._here.inside:
            self._here.inside = False
            self.come()

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Die before, inside or after the block."""
        if self.when == "before":
            self.come()
        self._here.inside = self.when == "inside"
        try:
            yield
        finally:
            self._here.inside = False
        if self.when == "after":
            self.come()


def wrap(owner: Any, name: str, death: Death, wanted: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Let calls of a function or method lead to death."""
    real = getattr(owner, name)

    def dying(*args: Any, **more: Any) -> Any:
        if not (wanted(*args, **more) and death.reached()):
            return real(*args, **more)
        with death.around():
            return real(*args, **more)

    setattr(owner, name, dying)


def at_ledger(death: Death, name: str, stage: str) -> None:
    """Die at a call of the ledger."""
    from medical_kg.orchestration.ledger.sql import SqlLedger

    def is_of_stage(_: Any, record: Any = None, *__: Any, **___: Any) -> bool:
        return not stage or record.stage == stage

    wrap(SqlLedger, name, death, is_of_stage if name == "commit" else lambda *_, **__: True)


def at_store(death: Death) -> None:
    """Die at a write of index or graph."""
    from medical_kg.stores.sql_graph import SqlGraph
    from medical_kg.stores.sql_index import SqlIndex

    for half in (SqlIndex, SqlGraph):
        wrap(half, "replace", death)


def at_checkpoint(death: Death) -> None:
    """Die at the writing of a checkpoint; inside: written under its temporary name."""
    from medical_kg.orchestration import checkpoints

    wrap(checkpoints, "_write_whole", death)
    synced = os.fsync

    def fsync(descriptor: int) -> None:
        death.at_commit()
        synced(descriptor)

    os.fsync = fsync


def at_statement(death: Death, kind: re.Pattern[str]) -> None:
    """Die before a statement that any part of the program gives to a database, or in its transaction after it."""
    from sqlalchemy import Engine, event

    def given(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if kind.match(statement) and death.reached():
            death.come()

    event.listen(Engine, "before_cursor_execute" if death.when == "before" else "after_cursor_execute", given)


def at_worker(death: Death, *, both: bool) -> None:
    """Die while a worker process is at work; with ``both`` it is killed too, else it must end by itself."""
    from medical_kg.orchestration.isolation.process import Worker

    ask = Worker.ask

    def die(worker: Any) -> None:
        if both:
            os.killpg(worker.pid, signal.SIGKILL)
        death.come()

    def asking(self: Any, message: Any, *args: Any, **more: Any) -> Any:
        if message.get("do") == "run" and death.reached():
            threading.Timer(0.02, die, [self]).start()
        return ask(self, message, *args, **more)

    Worker.ask = asking


def arm(orders: Orders) -> None:
    """Arrange the death that was ordered.

    Raises:
        ValueError: there is no such point.
    """
    from sqlalchemy import Engine, event

    death, point = Death(orders), orders["point"]
    event.listen(Engine, "commit", death.at_commit)
    if point in LEDGER:
        at_ledger(death, point, orders.get("stage", ""))
    elif point == "store":
        at_store(death)
    elif point == "checkpoint":
        at_checkpoint(death)
    elif point in ("schema", "statement"):
        at_statement(death, SCHEMA if point == "schema" else re.compile(""))
    elif point in ("runner", "runner and worker"):
        at_worker(death, both="worker" in point)
    else:
        raise ValueError(point)


def watch(path: str) -> None:
    """Write down each stage that begins, before it does anything."""
    from medical_kg.orchestration.telemetry.events import Events, StageStarted

    emit = Events.emit

    def emitting(self: Any, told: Any) -> None:
        if isinstance(told, StageStarted):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(descriptor, json.dumps([told.batch_id, told.stage]).encode() + b"\n")
            os.close(descriptor)
        emit(self, told)

    Events.emit = emitting


def become(orders: Orders) -> None:
    """Be medical-kg until the ordered moment; the words stand in ``sys.argv``."""
    if "witness" in orders:
        watch(orders["witness"])
    if "point" in orders:
        arm(orders)
    if "lease" in orders:
        from medical_kg.orchestration import runner

        runner.LEASE_SECONDS = orders["lease"]
    from medical_kg.cli import main

    main()


IMPORTED = (
    *(
        "alembic.command",
        "alembic.config",
        "lxml.etree",
        "numpy",
        "psycopg",
        "medical_kg.cli.app",
        "medical_kg.cli.run",
    ),
    *("medical_kg.cli.progress", "medical_kg.orchestration.ledger.sql", "medical_kg.orchestration.dagster.engine"),
    *("medical_kg.stores.sql_index", "medical_kg.stores.sql_graph"),
)
"""What takes long to import."""


def serve() -> Orders:
    """Fork for each request; returns in the child only, which has become a program of its own by then."""
    for name in IMPORTED:
        importlib.import_module(name)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    asked = b""
    _tell({"ready": 1})
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends()
        if 0 in ready:
            if not (read := os.read(0, 65536)):
                os._exit(0)
            *requests, asked = (asked + read).split(b"\n")
            for request in map(json.loads, requests):
                if (pid := os.fork()) == 0:
                    os.close(woken)
                    os.close(wake)
                    return _child(request)
                _tell({"pid": pid})


def _child(request: dict[str, Any]) -> Orders:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(request["folder"])
    nothing, said = os.open(os.devnull, os.O_RDONLY), os.open(request["said"], os.O_WRONLY | os.O_CREAT)
    for theirs, ours in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(theirs, ours)
    os.close(nothing)
    os.close(said)
    os.environ["CRASH_SUITE"] = request["folder"]
    sys.argv[1:] = request["words"]
    return request["orders"]  # type: ignore[no-any-return]  # as asked


def _tell_ends() -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell({"pid": ended[0], "code": os.waitstatus_to_exitcode(ended[1])})


def _tell(fact: dict[str, int]) -> None:
    os.write(1, json.dumps(fact).encode() + b"\n")


if __name__ == "__main__":
    become(serve())
