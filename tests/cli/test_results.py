"""Standard output is for results: whatever else is printed there goes to standard error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medical_kg.cli.results import Results

SCRIPT = """
import os, subprocess, sys
from medical_kg.cli.results import Results

results = Results()
print("by print")
sys.__stdout__.write("by the first stream\\n")
sys.__stdout__.flush()
os.write(1, b"by the system\\n")
subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
results.stream.write("a result\\n")
results.close()
print("afterwards")
os.write(1, b"")
"""
OTHERS = ["by print", "by the first stream", "by the system", "by a child"]


def test_results_alone_reach_standard_output() -> None:
    """Python's print, the first stream, the descriptor and children go to standard error until it is given back."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "a result\nafterwards\n"
    assert done.stderr.splitlines() == OTHERS


def test_a_stream_that_is_no_descriptor_is_kept_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard output has been replaced, as in tests, print is led away from it."""
    results = Results()
    try:
        print("by print")  # noqa: T201  # that is the point
        results.stream.write("a result\n")
    finally:
        results.close()
    out, err = capsys.readouterr()
    assert (out, err) == ("a result\n", "by print\n")


def test_a_closed_pipe_harms_nobody() -> None:
    """Who reads no further, like head, makes no traceback at the end."""
    script = "from medical_kg.cli.results import Results; r = Results(); r.stream.write('x' * 100); r.close()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
