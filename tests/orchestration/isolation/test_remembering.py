"""Kept results of single items, where the stage lives in a worker."""

from __future__ import annotations

from typing import Any

import pytest

CACHED = """
stages:
  - {{name: feed, type: odd-feed, config: {{number: {number}}}}}
  - {{name: odd, type: odd-{type}, cache: true, {where} depends_on: [feed], config: {{doing: {{w2: kill}}, log: {log}}}}}
"""


@pytest.mark.parametrize("type_", ["shout", "chorus"])
def test_a_worker_takes_and_keeps_results(place: Any, type_: str) -> None:
    """A worker uses what another has made, whatever died in between; the item that killed it is tried again."""
    log, where = place.root / "log", "environment: process,"
    given = {"type": type_, "log": log, "where": where}
    place.run(CACHED.format(number=3, **given), "one")
    log.unlink()
    report = place.run(CACHED.format(number=5, **given), "two")
    called = {call.split(":")[0] for call in log.read_text().split()}
    assert called & {f"w{n}" for n in range(5)} == {"w2", "w3", "w4"}
    assert "w2" in place.letters(report)
    (batch,) = report.batches
    assert place.workspace.ledger.results(batch.id)["odd"].counts["cached"] == 2
    stored = place.values(report, "odd")["upper"].decode()
    assert [stored.index(f"WORD {n}") for n in (0, 1, 3, 4)] == sorted(stored.index(f"WORD {n}") for n in (0, 1, 3, 4))
