"""A PostgreSQL server of the tests' own, from what the machine has installed; ``tests/conftest.py`` has the fixture."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "medical"
PASSWORD = secrets.token_hex(8)
FIRST_WITH_ICU = 15
# Nothing here must outlive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps one per release beside the path."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return Path(on_path).resolve().parent if on_path else found[-1].parent if found else None


def as_user() -> dict[str, Any]:
    """How to start a program of the server, which refuses to be root: as the user that Debian's package makes."""
    if os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL will not run as root, and there is no user postgres on this machine")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class PostgresServer:
    """A server on a free port of the loopback address, with its data in a temporary folder.

    It sorts as people do (``a B c``), unlike SQLite, so that a test sees an order left to the server.
    """

    def __init__(self, folder: Path, bin_folder: Path, who: dict[str, Any]) -> None:
        self.folder, self._bin, self._who = folder, bin_folder, who
        self.port = free_port()
        self._made = 0
        self._initialize()
        self.start()

    @classmethod
    def start_new(cls) -> PostgresServer:
        """Start one, or skip the test where none is installed."""
        bin_folder = programs()
        if bin_folder is None:
            pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        who = as_user()
        folder = Path(tempfile.mkdtemp(prefix="medical-kg-postgres-"))
        if who:
            os.chown(folder, who["user"], who["group"])
        return cls(folder, bin_folder, who)

    def _initialize(self) -> None:
        release = subprocess.run([self._bin / "initdb", "--version"], capture_output=True, text=True, check=True).stdout
        number = re.search(r"\d+", release)
        icu = number is not None and int(number[0]) >= FIRST_WITH_ICU
        password = self.folder / "password"
        password.write_text(PASSWORD)
        locale = ["--locale-provider=icu", "--icu-locale=en"] if icu else []
        subprocess.run(
            [
                *(self._bin / "initdb", "--pgdata", self.folder / "data", "--username", USER, "--encoding=UTF8"),
                *("--locale=C.UTF-8", *locale, "--auth=scram-sha-256", "--pwfile", password, "--no-sync"),
            ],
            **self._who,
            cwd=self.folder,
            capture_output=True,
            check=True,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""} | FAST
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", *given],
                **self._who,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        for _ in range(300):
            with contextlib.suppress(psycopg.OperationalError):
                self.query("SELECT 1")
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        pytest.fail(f"PostgreSQL does not answer: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """Stop it at once, ending every connection."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def dump(self, database: str) -> str:
        """Everything that a database holds, as its own program writes it down."""
        to = f"--dbname=postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"
        done = subprocess.run([self._bin / "pg_dump", "--inserts", to], capture_output=True, text=True, check=True)
        return done.stdout

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def query(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement by itself and return its rows."""
        address = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        with contextlib.closing(psycopg.connect(dbname=database, autocommit=True, **address)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def emptied(self, name: str) -> str:
        """Make a database, or take everything out of it, and return its URL."""
        if self.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
        else:
            self.query(f"CREATE DATABASE {name}")
        return self.url(name)

    def serve(self, folder: Path) -> str:
        """Let the settings in a folder name a new database, and return its URL."""
        url = self.url(self.database())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{url}"\n', encoding="utf-8")
        return url

    def database(self) -> str:
        """Make a database and return its name."""
        self._made += 1
        name = f"kg{self._made}"
        self.query(f"CREATE DATABASE {name}")
        return name
