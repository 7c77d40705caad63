"""Text of foreign errors: bounded, printable, and never an error itself."""

from __future__ import annotations

from hashlib import sha256

import pytest

from medical_kg.orchestration.contract.foreign import (
    FRAMES,
    IDENT,
    MESSAGE,
    TRACE,
    clipped,
    identified,
    message_of,
    named,
    printable,
    said,
    trace_of,
)


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise SystemExit("no")


class Odd(Exception):
    """Has a traceback that cannot be told."""

    @property
    def __cause__(self) -> None:  # type: ignore[override]  # that is what is odd
        raise KeyboardInterrupt


def raised(error: BaseException, depth: int = 0) -> BaseException:
    def deeper(left: int) -> None:
        if left:
            deeper_still(left - 1)
        raise error

    def deeper_still(left: int) -> None:  # by turns, since Python itself shortens a line that repeats
        deeper(left)

    try:
        deeper(depth)
    except BaseException as caught:  # noqa: BLE001  # whatever it is, it is wanted
        return caught
    raise AssertionError


def test_an_error_is_told_by_its_name_and_message() -> None:
    """The usual error reads as usual, and one without a message is its name."""
    assert said(ValueError("no such item")) == "ValueError: no such item"
    assert said(ValueError()) == "ValueError"
    assert message_of(KeyError("x")) == "'x'"


def test_an_error_that_cannot_be_told_is_told_so() -> None:
    """What __str__ raises, SystemExit too, stays in there."""
    assert said(Mute()) == "Mute: its message cannot be shown: its __str__ raised SystemExit"


def test_long_text_keeps_its_beginning_and_end_and_says_what_is_missing() -> None:
    """Nothing is cut in silence, and what fits is not touched."""
    assert clipped("x" * 100, 100) == "x" * 100
    assert clipped("a" * 99 + "z" * 2, 100) == "a" * 75 + " … [1 of 101 characters left out] … " + "a" * 23 + "zz"
    assert MESSAGE < len(message_of(ValueError("much " * 2_000_000))) < MESSAGE + 100
    assert len(named(type("N" * 10_000, (Exception,), {})())) < 200


def test_text_becomes_printable_and_stays_what_it_is_otherwise() -> None:
    """Halves of surrogate pairs and control characters are escaped; letters of any script, tabs and newlines are not."""
    assert printable("a\tb\nc é 漢 🙂") == "a\tb\nc é 漢 🙂"
    assert printable("\udcff \x00 \x1b[31m \x7f \r") == "\\udcff \\x00 \\x1b[31m \\x7f \\x0d"


def test_ids_stay_apart_when_they_are_cut() -> None:
    """Two long ids that differ at the end differ still."""
    one, other = identified("x" * 10_000 + "1"), identified("x" * 10_000 + "2")
    assert one != other
    assert one.startswith("x" * IDENT + "… (10,001 characters, sha256 ")
    assert identified("nct:NCT01") == "nct:NCT01"
    assert identified(7) == "7"


def test_a_traceback_keeps_the_innermost_frames() -> None:
    """A deep recursion is told by where it ended, in bounded text."""
    told = trace_of(raised(RuntimeError("deep"), 300))
    assert told.count("File ") == FRAMES
    assert told.rstrip().endswith("RuntimeError: deep")
    assert len(trace_of(raised(ValueError("much " * 2_000_000)))) < TRACE + 100


def test_the_frames_that_are_kept_are_the_innermost() -> None:
    """Of a deep stack the end is told, where the error was raised, and not the beginning."""
    told = trace_of(raised(RuntimeError("deep"), 100))
    assert "raise error" in told
    assert "deeper(depth)" not in told


def test_a_traceback_tells_causes() -> None:
    """The cause of an error is part of its story."""
    error = raised(ValueError("what it led to"))
    error.__cause__ = raised(KeyError("what went wrong"))
    assert "what went wrong" in trace_of(error)


@pytest.mark.parametrize("error", [Mute(), Odd("x")])
def test_telling_where_an_odd_error_was_raised_never_raises(error: BaseException) -> None:
    """Whatever an error's own code raises, text comes of it."""
    assert type(error).__name__ in trace_of(raised(error))


def test_what_is_cut_keeps_three_parts_and_one() -> None:
    """A message that is too long keeps three quarters of its beginning and a quarter of its end."""
    told = message_of(ValueError("a" * MESSAGE + "z" * MESSAGE))
    kept = "a" * (MESSAGE * 3 // 4), "z" * (MESSAGE // 4)
    assert told == f"{kept[0]} … [4,000 of 8,000 characters left out] … {kept[1]}"


def test_ids_as_long_as_allowed_are_whole() -> None:
    """One character more is cut; what is said of it names the sha256 of the whole."""
    assert identified("x" * IDENT) == "x" * IDENT
    cut = identified("x" * (IDENT + 1))
    assert cut == "x" * IDENT + f"… ({IDENT + 1} characters, sha256 {sha256(b'x' * (IDENT + 1)).hexdigest()[:16]})"


def test_a_traceback_is_that_of_the_error_alone() -> None:
    """It reads as Python writes it, from the frame that raised to the error's message."""
    lines = trace_of(raised(ValueError("no such item"))).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: no such item"
    assert "raise error" in lines[-2]


def test_a_traceback_that_cannot_be_told_names_both_errors() -> None:
    """The error, and what its own code raised."""
    assert trace_of(raised(Odd("x"))) == "the traceback of Odd cannot be shown: KeyboardInterrupt"
