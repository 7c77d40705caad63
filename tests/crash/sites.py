"""Where rounds take place: folders, databases, and what an uninterrupted run leaves there."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campaign import Reference, reference
from databases import Database, Postgres, Sqlite
from places import Place
from postgres_server import PostgresServer
from programs import Programs
from scenarios import SCENARIOS

ENGINES = ("plain", "dagster")


class Site:
    """Makes places in a folder, each with a database of its own."""

    def __init__(self, programs: Programs, folder: Path, server: PostgresServer | None) -> None:
        """Without a server there are only SQLite's databases."""
        self._programs, self._folder, self._server = programs, folder, server
        self._made = 0
        self._given: dict[str, Path] = {}
        self._known: dict[tuple[str, str, str], Reference] = {}
        self._lock = threading.Lock()

    @contextmanager
    def place(self, scenario: str, database: str, engine: str) -> Iterator[Place]:
        """Give an empty workspace; its folder stays, its database does not where that is elsewhere."""
        with self._lock:
            self._made += 1
            folder = self._folder / f"{self._made}"
            folder.mkdir()
            kept = self._database(database, folder / "workspace")
            given = self._input(scenario)
        place = Place(self._programs, folder, kept, SCENARIOS[scenario], given, engine)
        try:
            yield place
        finally:
            place.close()

    def expected(self, scenario: str, database: str, engine: str) -> Reference:
        """What a run leaves that nobody interrupts; it is made at the first call."""
        row = (scenario, database, engine)
        if row not in self._known:
            with self.place(*row) as place:
                self._known[row] = reference(place)
            shutil.rmtree(place.folder)
        return self._known[row]

    def _database(self, kind: str, root: Path) -> Database:
        if kind == "sqlite":
            return Sqlite(root)
        assert self._server is not None, "PostgreSQL is not installed"
        return Postgres(self._server)

    def _input(self, scenario: str) -> Path:
        # One input for all: where it stands is part of what the documents say of themselves.
        if scenario not in self._given:
            folder = self._folder / f"input-{len(self._given)}"
            folder.mkdir()
            self._given[scenario] = SCENARIOS[scenario].put(folder)
        return self._given[scenario]
