"""Fixtures every test folder may use."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from loopback import Server
from postgres_server import PostgresServer
from sqlalchemy import Connection, Engine, event

from medical_kg.orchestration.contract import secrets

pytest_plugins = ["medical_kg.testing.pytest_plugin"]

# For `make mutants`: the same few examples for every mutant.
settings.register_profile("mutation", max_examples=20, derandomize=True, database=None)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# A job in a shell's background ignores Ctrl-C, and so would every program that a test starts and then interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the long ones first: at the end, the other processes would wait for them.

    Lines are counted in the quick ones of few examples: counting doubles the time of the others, and a line that they alone
    reach is a line without a test of its own.
    """
    items.sort(key=lambda item: "long" not in item.keywords)
    for item in items:
        if {"slow", "long"} & set(item.keywords) or getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real documents beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real documents (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _databases_are_closed() -> Iterator[None]:
    """Close what a test opened and left: Python 3.13 warns of each database connection that is collected open."""
    engines: set[Engine] = set()

    def note(connection: Connection) -> None:
        engines.add(connection.engine)

    event.listen(Engine, "engine_connect", note)
    yield
    event.remove(Engine, "engine_connect", note)
    for engine in engines:
        engine.dispose()


LOGGERS = ("", "medical_kg", "medical_kg.stage", "medical_kg.events", "medical_kg.orchestration.registry")


@pytest.fixture(autouse=True)
def _secrets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test concealed would be replaced in the messages of every later one."""
    monkeypatch.setattr(secrets, "_known", ())


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command line sets the process's log up; each test gives it back as it was."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _one_cache_for_mypy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What one test has mypy find out about the libraries, the others need not find out again."""
    with pytest.MonkeyPatch.context() as patch:
        # Those who run side by side each have a folder below the one of the whole run.
        own = tmp_path_factory.getbasetemp()
        patch.setenv("MYPY_CACHE_DIR", str((own.parent if own.name.startswith("popen-") else own) / "mypy"))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test run; tests that need it skip where PostgreSQL is not installed."""
    running = PostgresServer.start_new()
    yield running
    running.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real browser of this test run; tests that need it skip where Chromium is not installed."""
    from chromium import PROGRAM, Chromium

    if PROGRAM is None:
        pytest.skip("chromium is not installed")
    running = Chromium(PROGRAM, tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server on the loopback address."""
    running = Server()
    yield running
    running.close()
