"""The log of a program: text or JSON lines, set up on request only."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys

import pytest

from medical_kg.orchestration.contract.secrets import conceal
from medical_kg.orchestration.telemetry.events import BatchSettled, StageFailed, log_event
from medical_kg.orchestration.telemetry.logs import JsonFormatter, TextFormatter, configure, silence

IDS = {"submission_id": "s1", "batch_id": "s1-0001", "stage": "parse"}


def speak() -> None:
    adapter = logging.LoggerAdapter(logging.getLogger("medical_kg.stage.parse"), IDS)
    adapter.info("quiet %s", "word")
    adapter.warning("loud %s", "word")
    log_event(BatchSettled(submission_id="s1", batch_id="s1-0001", at=1.0, pipeline="p", status="completed"))
    log_event(StageFailed(**IDS, stage_type="parse", at=1.0, error="no power"))


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_line_tells_a_secret(formatter: logging.Formatter) -> None:
    """Nor its traceback, whoever logged it: only the log of a stage is looked through before."""
    conceal("correct-horse")
    failed = ValueError("with correct-horse")
    record = logging.LogRecord(
        "a.library", logging.ERROR, "", 1, "the key %s", ("correct-horse",), (ValueError, failed, None)
    )
    said = formatter.format(record)
    assert "the key ***" in said
    assert "correct-horse" not in said


def test_text_shows_warnings_with_their_ids() -> None:
    """As text, what is only worth knowing is left out, and so are events, which progress shows."""
    stream = io.StringIO()
    configure("text", stream=stream)
    speak()
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(" WARNING loud word [submission_id=s1 batch_id=s1-0001 stage=parse]")


def test_verbose_text_shows_all() -> None:
    """Verbose, information and events are shown too, events without their ids twice."""
    stream = io.StringIO()
    configure("text", verbose=True, stream=stream)
    speak()
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["INFO", "WARNING", "INFO", "ERROR"]
    assert lines[2].endswith("BatchSettled batch_id=s1-0001 pipeline=p status=completed")


def test_json_is_one_object_a_line_with_ids_and_event() -> None:
    """As JSON, every record is an object with time, level, logger, message, ids and the event's fields."""
    stream = io.StringIO()
    configure("json", stream=stream)
    speak()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["INFO", "WARNING", "INFO", "ERROR"]
    assert {name: lines[0][name] for name in IDS} == IDS
    assert (lines[0]["logger"], lines[0]["message"]) == ("medical_kg.stage.parse", "quiet word")
    assert lines[0]["time"].endswith("+00:00")
    assert (lines[3]["stage"], lines[3]["event"]["error"]) == ("parse", "no power")


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_are_kept(form: str) -> None:
    """A logged exception carries its traceback, in JSON within its object."""
    stream = io.StringIO()
    configure(form, stream=stream)
    try:
        raise ValueError("odd")  # noqa: TRY301  # the traceback is what is tested
    except ValueError:
        logging.getLogger("medical_kg.x").exception("it broke")
    text = stream.getvalue() if form == "text" else json.loads(stream.getvalue())["error"]
    assert "ValueError: odd" in text
    assert "Traceback" in text


def test_configuring_again_changes_the_form() -> None:
    """The last call counts; nothing is written twice."""
    first, second = io.StringIO(), io.StringIO()
    configure("json", stream=first)
    configure("text", stream=second)
    logging.getLogger("medical_kg.x").warning("once")
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


def test_without_a_stream_it_is_standard_error_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error may be replaced, as progress bars do; the log follows."""
    configure("text")
    logging.getLogger("medical_kg.x").warning("here")
    assert "WARNING here" in capsys.readouterr().err


def test_importing_changes_no_log() -> None:
    """The log belongs to the program: importing the package, this module too, sets nothing up."""
    script = "import logging, medical_kg.orchestration.telemetry.logs; print(logging.getLogger().handlers)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_silence_is_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    """After it nothing is shown, on no stream."""
    configure("text")
    silence()
    logging.getLogger("medical_kg.x").warning("too late")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("logger", "error", "told"),
    [
        ("sqlalchemy.pool.impl.QueuePool", KeyboardInterrupt, False),
        ("sqlalchemy.pool.impl.QueuePool", OSError, True),
        ("somebody.else", KeyboardInterrupt, True),
    ],
)
def test_ctrl_c_on_its_way_through_the_pool_is_not_told(logger: str, error: type[BaseException], *, told: bool) -> None:
    """SQLAlchemy's pool logs an interruption as an error before it lets it go on: who was interrupted knows."""
    stream = io.StringIO()
    configure(stream=stream)
    try:
        raise error  # noqa: TRY301  # it is to have a traceback
    except BaseException:
        logging.getLogger(logger).exception("Exception during reset")
    assert ("Traceback" in stream.getvalue()) is told
