"""What foreign code raised, as text that a ledger, a log and a screen can take, whatever it is.

An error of a plugin may hold megabytes, text that is not Unicode, or a ``__str__`` that raises itself. What is cut here
says so, and how much is missing; what is known to be a secret is taken out.
"""

from __future__ import annotations

import hashlib
import re
import traceback

from medical_kg.orchestration.contract.secrets import redacted

MESSAGE = 4_000
"""Characters of an error's message that are kept."""
TRACE = 16_000
"""Characters of a traceback that are kept."""
FRAMES = 40
"""Frames of a traceback that are kept, the innermost: where it was raised."""
IDENT = 400
"""Characters of an item's id that are kept."""
NAME = 100
"""Characters of an error class's name that are kept."""

UNSHOWN = "its message cannot be shown"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters but tab and newline: no database, terminal or log should meet them."""


def named(error: BaseException) -> str:
    """Return the name of an error's class."""
    return clipped(printable(type(error).__name__), NAME)


def message_of(error: BaseException) -> str:
    """Return an error's message, printable and at most about ``MESSAGE`` characters long."""
    try:
        return shown(str(error), MESSAGE)
    except BaseException as bad:  # noqa: BLE001  # __str__ is the plugin's code, and may raise anything
        return f"{UNSHOWN}: its __str__ raised {named(bad)}"


def said(error: BaseException) -> str:
    """Return ``Name: message``, as errors are told everywhere."""
    return f"{named(error)}: {message_of(error)}".removesuffix(": ")


def trace_of(error: BaseException) -> str:
    """Return an error's traceback with those of its causes, printable and at most about ``TRACE`` characters long."""
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-FRAMES)
        return shown("".join(lines), TRACE)
    except BaseException as bad:  # noqa: BLE001  # as above
        return f"the traceback of {named(error)} cannot be shown: {named(bad)}"


def identified(ident: object) -> str:
    """Return an item's id as text; one that is too long keeps its beginning and the sha256 of the whole."""
    text = printable(redacted(str(ident)))
    if len(text) <= IDENT:
        return text
    return f"{text[:IDENT]}… ({len(text):,} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]})"


def shown(text: str, most: int) -> str:
    """Return text without secrets, cut to a length and made printable."""
    # Cut first: escaping a hundred megabytes to show four kilobytes of them would take longer than the failure.
    # Secrets before both: half a secret, or an escaped one, would not be found.
    return printable(clipped(redacted(text), most))


def clipped(text: str, most: int) -> str:
    """Return text of at most about so many characters: of longer text the beginning and the end, and what is missing."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} … [{len(text) - most:,} of {len(text):,} characters left out] … {text[-end:]}"


def printable(text: str) -> str:
    r"""Return text with what is not Unicode (half a surrogate pair) and control characters escaped: ``\udcff``, ``\x00``."""
    whole = text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", whole)
