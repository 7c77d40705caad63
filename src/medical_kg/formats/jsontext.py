"""Reading records out of JSON text one at a time, and reading one record with its place always known."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from medical_kg import ItemRejected
from medical_kg.documents.texts import texts_in
from medical_kg.formats.contract import BadRecord, read_all
from medical_kg.formats.jsonscan import DECODER, Element, Scanner, reason_of, refuse_depth
from medical_kg.formats.pushback import Pushback

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from medical_kg.formats.contract import RawRecord, Readable

MAX_JSON_BYTES = 512 * 1024 * 1024
"""A JSON array must be read as one text; a larger one is refused (JSON lines, one record a line, have no such limit)."""

HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def head_text(head: bytes) -> str:
    """Return the head of a JSON file as text, as far as it can be decoded."""
    return head.decode(_encoding(head), errors="ignore").lstrip("\ufeff \t\r\n")


def looks_like_json(head: bytes) -> str:
    """Return the head as text when it begins an object or array, else an empty text."""
    text = head_text(head)
    return text if text[:1] in ("{", "[") else ""


def decode(content: bytes) -> Any:
    """Return the value of one JSON text.

    Raises:
        ItemRejected: it is not JSON: malformed, nested too deeply, with two values for one key, NaN, a number that is too
            large, half a surrogate pair …
    """
    text = _text(content)
    try:
        value = DECODER.decode(text)
        refuse_depth(value)
    except (ValueError, RecursionError) as error:
        raise ItemRejected(reason_of(text, error)) from None
    if HALF_PAIR.search(text):
        for one in texts_in(value):
            _refuse_half_pair(one)
    return value


def _refuse_half_pair(text: str) -> None:
    # "\ud83d" alone is valid JSON, but no Unicode text: it could be stored nowhere.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 20) : error.start]
        raise ItemRejected(f"half of a surrogate pair behind {around!r}: this is not Unicode text") from None


def read_records(
    stream: Readable, list_keys: Collection[str], record_of: Callable[[Element], RawRecord | BadRecord]
) -> Iterator[RawRecord | BadRecord]:
    """Give every record of a file, as ``record_of`` makes it from the element it was found as.

    A file is one record, an array of records, an object with the array under one of ``list_keys`` (an API page), or
    one record a line. Only the last is read as it comes; the others are held as text, up to ``MAX_JSON_BYTES``.

    Raises:
        ItemRejected: the rest cannot be read.
    """
    for element in elements(stream, list_keys):
        yield element if isinstance(element, BadRecord) else record_of(element)


def elements(stream: Readable, list_keys: Collection[str]) -> Iterator[Element | BadRecord]:
    """Give the records of a file as elements; see ``read_records``."""
    buffered = Pushback(stream)
    line = buffered.first_line()
    if line is not None and _is_record_line(line, list_keys):
        yield from _lines(buffered)
        return
    content, broken = read_all(buffered, MAX_JSON_BYTES)
    text = _text(content)
    del content
    try:
        yield from Scanner(text, list_keys).scan()
    except ItemRejected:
        if broken is not None:
            raise broken from None
        raise
    if broken is not None:
        raise broken


def _is_record_line(line: bytes, list_keys: Collection[str]) -> bool:
    # One record a line: the first line is a whole object (but no API page).
    # UTF-16 never is, as its line ends in half a character. A record that is refused costs itself only, also the first one.
    text = line.decode("utf-8-sig", errors="replace").strip()
    try:
        value = json.loads(text)
    except ValueError:
        return False
    except RecursionError:  # how deep that is, each interpreter has its own limit
        return text[:1] == "{" and text[-1:] == "}" and not any(f'"{key}"' in text for key in list_keys)
    return isinstance(value, dict) and not any(isinstance(value.get(key), list) for key in list_keys)


def _lines(buffered: Pushback) -> Iterator[Element | BadRecord]:
    number = 0
    while (line := buffered.take_line()) is not None:
        number += 1
        if not line.strip():
            continue
        try:
            text = _text(line).strip()
            yield Element(f"line {number}", decode(line), text)
        except ItemRejected as error:
            yield BadRecord(f"line {number}", str(error))


def _encoding(content: bytes) -> str:
    encoding = json.detect_encoding(content[:4])
    return "utf-8" if encoding == "utf-8-sig" else encoding


def _text(content: bytes) -> str:
    encoding = _encoding(content)
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        what = f"byte {error.object[error.start]:#04x} at offset {error.start}"
        raise ItemRejected(f"not {encoding.upper()} text: {what} cannot be decoded") from None
