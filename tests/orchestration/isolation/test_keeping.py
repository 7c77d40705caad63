"""Stages that keep things, asked where they live: in a worker."""

from __future__ import annotations

from typing import Any

import pytest

from medical_kg.orchestration import forget, submit, trace

TEXT = """
stages:
  - {name: feed, type: odd-feed, config: {number: 3}}
  - {name: keeper, type: odd-keeper, environment: process, depends_on: [feed], config: {doing: DOING}}
"""


def test_a_stage_in_an_environment_is_asked_there(place: Any) -> None:
    """What it keeps, and by which names, is told by the worker."""
    place.run(TEXT.replace("DOING", "{}"))
    story = trace(place.workspace, "the-w1")
    assert story.root == "w1"
    assert [dict(one.kept) for one in story.kept] == [{"lines": 1}]


@pytest.mark.parametrize(("doing", "told"), [("raise", "kept is bad"), ("kill", "did not survive kept()")])
def test_a_worker_that_fails_to_answer_is_told(place: Any, doing: str, told: str) -> None:
    """The story goes on without it."""
    place.run(TEXT.replace("DOING", f"{{kept: {doing}}}"))
    (kept,) = trace(place.workspace, "w1").kept
    assert told in kept.problem
    assert kept.kept == {}


def test_what_a_stage_in_an_environment_keeps_is_forgotten_there(place: Any) -> None:
    """And a feed in a worker leaves the document out from then on."""
    text = TEXT.replace("DOING", "{}").replace("type: odd-feed,", "type: odd-feed, environment: process,")
    place.run(text)
    done = forget(place.workspace, "w1")
    assert [counts for stage, counts in done.removed.items() if "keeper" in stage] == [{"lines": 1}]
    assert (place.root / "kept.txt").read_text() == "w0\nw2\n"
    again = submit(place.workspace, "odd", engine="plain", full_refresh=True)
    assert again.stages[0].counts == {"words": 2.0, "forgotten": 1.0}


def test_a_stage_in_an_environment_keeps_in_its_tenant_s_place(place: Any) -> None:
    """The worker sees the tenant's folder as the workspace's."""
    place.run(TEXT.replace("DOING", "{}"), tenant="lab")
    assert (place.root / "tenants" / "lab" / "kept.txt").read_text() == "w0\nw1\nw2\n"
