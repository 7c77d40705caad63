"""The workspace's database: how it is opened, read and written."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from medical_kg.orchestration.contract import database
from medical_kg.orchestration.contract.database import open_engine
from medical_kg.orchestration.contract.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("medical_kg.db", "database_url is not a database URL; write e.g. sqlite:////"),
        ("postgresql://ana:secret@host/kg", r"postgresql://ana:\*\*\*@host/kg is postgresql, where"),
        ("sqlite://", "what is kept must outlive the process"),
        ("sqlite:///:memory:", "what is kept must outlive the process"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_settings_error(url: str, message: str) -> None:
    """The message shows the URL without its password and says what to write instead."""
    with pytest.raises(SettingsError, match=message):
        open_engine(url)


class Switching:
    """A connection whose database another process switches to the log at the same time."""

    OperationalError = sqlite3.OperationalError

    def __init__(self, refusals: list[str]) -> None:
        self.refusals = refusals
        self.tries = 0

    def execute(self, statement: str) -> Any:
        if statement.endswith("=WAL"):
            self.tries += 1
            if self.refusals:
                raise sqlite3.OperationalError(self.refusals.pop())
        return self

    def fetchone(self) -> tuple[str]:
        """Answer that there is no log yet."""
        return ("delete",)

    def close(self) -> None:
        """Nothing is open."""


def test_the_switch_to_the_log_is_tried_again() -> None:
    """SQLite refuses it at once while another process is at it, whatever the busy timeout; other errors stand."""
    busy = Switching(["database is locked"] * 3)
    database._use_write_ahead_log(busy)
    assert busy.tries == 4
    broken = Switching(["disk I/O error"])
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        database._use_write_ahead_log(broken)
    assert broken.tries == 1
