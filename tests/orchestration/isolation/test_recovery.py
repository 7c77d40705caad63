"""Replaying dead letters where stages run in an environment."""

from __future__ import annotations

from typing import Any

import pytest

from medical_kg.orchestration import replay

TEXT = """
stages:
  - {name: feed, type: odd-feed, FEED config: {number: 3}}
  - {name: shout, type: odd-shout, environment: process, depends_on: [feed], config: {doing: DOING}}
"""


@pytest.mark.parametrize(("feed", "carried"), [("", 1), ("environment: process,", 3)])
def test_a_dead_letter_of_an_isolated_stage_is_replayed(place: Any, feed: str, carried: int) -> None:
    """It is resolved; input that only a worker can decode is taken over whole, which changes nothing in the outcome."""
    text = TEXT.replace("FEED", feed)
    ident = place.run(text.replace("DOING", "{w1: raise}")).submission.id
    place.write(text.replace("DOING", "{}"))
    report = replay(place.workspace, ident, stage="shout", engine="plain")
    found = {one.item_id: one.status for one in place.workspace.ledger.dead_letters(ident)}
    assert found == {"w1": "resolved", "w-odd": "open"}
    results = place.workspace.ledger.results(report.batches[1].id)
    assert [ref.items for ref in results["shout"].outputs.values()] == [carried]
