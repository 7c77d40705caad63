"""Secrets: where a config says they stand, and what is done so that they are not shown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydantic import SecretBytes, SecretStr, ValidationError

from medical_kg import Model, Secret
from medical_kg.orchestration.contract import secrets
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.foreign import identified, message_of, trace_of
from medical_kg.orchestration.contract.logs import stage_logger
from medical_kg.orchestration.contract.model import problems_in
from medical_kg.orchestration.contract.secrets import conceal, conceal_in, redacted


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test conceals, the next may show."""
    monkeypatch.setattr(secrets, "_known", ())


def test_a_secret_stands_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when it is revealed, without the space around it, and is not shown from then on."""
    monkeypatch.setenv("KEY", " open sesame\n")
    secret = Secret(env="KEY")
    assert redacted("open sesame") == "open sesame"
    assert secret.reveal() == "open sesame"
    assert redacted("say open sesame!") == "say ***!"
    assert "sesame" not in repr(secret) + secret.model_dump_json()


def test_a_secret_stands_in_a_file(tmp_path: Path) -> None:
    """The line break at the end of the file is no part of it; a changed file counts at once."""
    path = tmp_path / "key"
    path.write_text("open sesame\n")
    secret = Secret(file=str(path))
    assert secret.reveal() == "open sesame"
    path.write_text("abracadabra")
    assert secret.reveal() == "abracadabra"
    assert redacted("open sesame, abracadabra") == "***, ***"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("open sesame", "a secret is not written out; say where it stands"),
        (12345, "a secret is not written out; say where it stands"),
        ({}, "by one of the two"),
        ({"env": "KEY", "file": "/run/key"}, "by one of the two"),
        ({"file": "key"}, "write the whole path"),
        ({"env": "no name"}, "should match"),
    ],
)
def test_what_is_no_place_is_refused(given: object, reason: str) -> None:
    """A secret that is written out is not repeated by the refusal."""
    with pytest.raises(ValidationError) as refused:
        Secret.model_validate(given)
    said = problems_in(refused.value)
    assert reason in said
    assert "sesame" not in said + message_of(refused.value)


def test_a_secret_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where it was looked for, and nothing of what was there."""
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(UsageError, match="environment variable KEY, which is not set"):
        Secret(env="KEY").reveal()
    path = tmp_path / "key"
    secret = Secret(file=str(path))
    for content, reason in (
        (None, "No such file"),
        (b"\n", "is empty"),
        (b"\xffab", "not UTF-8"),
        (b"a" * 65_537, "larger"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=reason) as refused:
            secret.reveal()
        assert "ab" not in str(refused.value.__cause__)


def test_every_way_of_writing_a_secret_is_replaced() -> None:
    """As it is, as addresses, JSON and Python write it, line by line, and the longest first."""
    conceal('a "b"/ü\\d')
    for written in ('a "b"/ü\\d', "a%20%22b%22%2F%C3%BC%5Cd", "a+%22b%22%2F%C3%BC%5Cd", 'a \\"b\\"/\\u00fc\\\\d'):
        assert redacted(f"<{written}>") == "<***>"
    conceal("first line\nsecond line")
    assert redacted("second line") == "***"
    conceal("pass")
    conceal("password")
    assert redacted("password") == "***"


def test_a_secret_of_three_characters_is_left() -> None:
    """It would be found in every other word."""
    conceal("abc")
    assert redacted("abc") == "abc"


def test_secrets_in_a_config_are_found() -> None:
    """Those of pydantic too, wherever they stand."""

    class Inner(Model):
        keys: tuple[SecretStr, ...]
        more: dict[str, SecretBytes]

    class Config(Model):
        inner: Inner

    conceal_in(Config(inner=Inner(keys=(SecretStr("sesame"),), more={"a": SecretBytes(b"abracadabra")})))
    assert redacted("sesame abracadabra") == "*** ***"


def test_a_default_is_no_secret() -> None:
    """It stands in the plugin's code, and is often a word that messages need."""

    class Config(Model):
        key: SecretStr = SecretStr("none")

    conceal_in(Config())
    assert redacted("none") == "none"
    conceal_in(Config(key=SecretStr("sesame")))
    assert redacted("none, sesame") == "none, ***"


def fail(error: Exception) -> None:
    raise error


def test_errors_are_told_without_secrets() -> None:
    """In message, traceback and id, and where a long text is cut too."""
    conceal("open sesame")
    with pytest.raises(ValueError, match="sesame") as raised:
        fail(ValueError("x" * 2995 + "open sesame" + "y" * 9000))
    assert "sesame" not in message_of(raised.value) + trace_of(raised.value)
    assert "open" not in message_of(raised.value)
    assert identified("https://h/?key=open+sesame") == "https://h/?key=***"


def test_a_stage_logs_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """In the message, in what is put into it, and in the traceback."""
    conceal("open sesame")
    logger = stage_logger("telling", {"stage": "tell"})
    stage_logger("telling", {})
    try:
        fail(OSError("open sesame"))
    except OSError:
        logger.exception("it says %s: %d", "open sesame", 1)
    (record,) = caplog.records
    assert record.getMessage() == "it says ***: 1"
    assert "sesame" not in logging.Formatter().format(record)
    assert len(logging.getLogger("medical_kg.stage.telling").filters) == 1
