"""Putting requests into the ledger."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest
from support import DIAMOND, make_workspace

from medical_kg.orchestration.contract.errors import InputError
from medical_kg.orchestration.submissions import open_submission, this_actor


def test_a_submission_is_opened_without_running_it(tmp_path: Path) -> None:
    """Opening checks the pipeline and keeps the request with its first batch, ready; nothing has run."""
    workspace = make_workspace(tmp_path, DIAMOND)
    submission = open_submission(workspace, "diamond", input="here", limit=3, actor="me")
    (batch,) = workspace.ledger.batches(submission.id)
    assert (submission.status, submission.actor, batch.status) == ("pending", "me", "pending")
    assert submission.input == {"input": str(Path("here").absolute()), "limit": 3}
    assert workspace.ledger.results(batch.id) == {}


def test_a_given_id_makes_it_idempotent(tmp_path: Path) -> None:
    """Asked twice under one id, there is one submission."""
    workspace = make_workspace(tmp_path, DIAMOND)
    found = {open_submission(workspace, "diamond", ident="s123456789abc").id for _ in range(2)}
    assert found == {"s123456789abc"}
    assert len(workspace.ledger.submissions()) == 1


def test_an_empty_input_is_refused(tmp_path: Path) -> None:
    """An empty text, as an unset variable gives, is not taken for the current folder."""
    with pytest.raises(InputError, match="empty text"):
        open_submission(make_workspace(tmp_path, DIAMOND), "diamond", input=" ")


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("https://example.org/works?filter=a&api_key=s3same", "the key 'api_key'"),
        ("https://example.org/works?API_KEY=s3same", "the key 'API_KEY'"),
        ("https://me:s3same@example.org/works", "a password"),
    ],
)
def test_an_address_with_a_secret_is_refused(tmp_path: Path, address: str, held: str) -> None:
    """The ledger would keep it; the message does not repeat it, and nothing was opened."""
    workspace = make_workspace(tmp_path, DIAMOND)
    with pytest.raises(InputError, match=held) as caught:
        open_submission(workspace, "diamond", input=address)
    assert "s3same" not in str(caught.value)
    assert workspace.ledger.submissions() == []
    assert (
        open_submission(workspace, "diamond", input="https://example.org/works?pageToken=x&key=y").status == "pending"
    )


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no name")])
def test_a_user_without_a_name_is_known_by_number(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system knows no name for the user, the history has the number."""

    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert this_actor().startswith(f"uid{os.getuid()}@")
