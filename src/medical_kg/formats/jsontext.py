"""Reading records out of JSON text one at a time, and reading one record with its place always known."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from medical_kg import ItemRejected
from medical_kg.formats.contract import BadRecord, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator

    from medical_kg.formats.contract import RawRecord, Readable

MAX_JSON_BYTES = 512 * 1024 * 1024
"""A JSON array must be read as one text; a larger one is refused (JSON lines, one record a line, have no such limit)."""

MAX_LINE_BYTES = 64 * 1024 * 1024

SPACE = re.compile(r"[ \t\r\n]*")
BLANK = b"\xef\xbb\xbf \t\r\n"
HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class Element(NamedTuple):
    """One record as it stands in the file: its place, its value and its own text."""

    place: str
    value: Any
    text: str


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
        ItemRejected: it is not JSON: malformed, nested too deeply, with two values for one key, NaN, half a surrogate pair …
    """
    text = _text(content)
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ItemRejected(_reason(text, error)) from None
    if HALF_PAIR.search(text):
        _refuse_half_pairs(value)
    return value


def _refuse_half_pairs(value: Any) -> None:
    # "\ud83d" alone is valid JSON, but no Unicode text: it could be stored nowhere.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.start]
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
    buffered = _Pushback(stream)
    line = buffered.first_line()
    if line is not None and _is_record_line(line, list_keys):
        yield from _lines(buffered)
        return
    content, broken = read_all(buffered, MAX_JSON_BYTES)
    text = _text(content)
    del content
    try:
        yield from _Scanner(text, list_keys).scan()
    except ItemRejected:
        if broken is not None:
            raise broken from None
        raise
    if broken is not None:
        raise broken


class _Pushback:
    """A stream whose first line can be looked at before it is read; also reads by line."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._taken = 0
        self._compacted = 0
        self._broken: ItemRejected | None = None

    def first_line(self) -> bytes | None:
        """Return the first line when it is not the last and may hold an object, without taking it."""
        self._fill()
        if not self._buffer.lstrip(BLANK).startswith(b"{"):
            return None
        end = self._line_end()
        return None if end < 0 else bytes(self._buffer[:end])

    def take_line(self) -> bytes | None:
        """Take one line; None at the end."""
        end = self._line_end()
        if end < 0 and len(self._buffer) - self._taken > MAX_LINE_BYTES:
            raise ItemRejected(f"a line is longer than {MAX_LINE_BYTES:,} bytes")
        line = bytes(self._buffer[self._taken : end if end >= 0 else len(self._buffer)])
        self._taken = end + 1 if end >= 0 else len(self._buffer)
        if end < 0 and self._broken:
            raise self._broken
        return None if end < 0 and not line else line

    def read(self, size: int, /) -> bytes:
        """Read what was looked at, then the rest."""
        if self._taken < len(self._buffer):
            chunk = bytes(self._buffer[self._taken : self._taken + size])
            self._taken += len(chunk)
            return chunk
        if self._broken:
            raise self._broken
        return self._stream.read(size)

    def _line_end(self) -> int:
        searched = self._taken
        while (found := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched - self._taken > MAX_LINE_BYTES or not self._fill():
                return -1
            searched -= self._compacted
        return found

    def _fill(self) -> bool:
        self._compacted = self._taken
        del self._buffer[: self._taken]
        self._taken = 0
        try:
            chunk = b"" if self._broken else self._stream.read(65_536)
        except ItemRejected as broken:
            self._broken, chunk = broken, b""
        self._buffer += chunk
        return bool(chunk)


def _is_record_line(line: bytes, list_keys: Collection[str]) -> bool:
    # One record a line: the first line is a whole object (but no API page).
    # UTF-16 never is, as its line ends in half a character.
    try:
        value = DECODER.decode(line.decode("utf-8-sig").strip())
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and not any(isinstance(value.get(key), list) for key in list_keys)


def _lines(buffered: _Pushback) -> Iterator[Element | BadRecord]:
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


class _Scanner:
    """Walks the top of a JSON text and decodes one record at a time, so that the good ones before a break stand."""

    def __init__(self, text: str, list_keys: Collection[str]) -> None:
        self._text, self._keys = text, list_keys

    def scan(self) -> Iterator[Element]:
        """Give the records; raises ``ItemRejected`` where the text breaks."""
        start = self._skip(0)
        opening = self._text[start : start + 1]
        if opening == "[":
            end = yield from self._array(start)
        elif opening == "{":
            end = yield from self._object(start)
        else:
            self._fail("expected a JSON object or array", start)
        if self._skip(end) < len(self._text):
            self._fail("there is more text behind the end of the JSON value", self._skip(end))

    def _array(self, start: int, place: str = "") -> Generator[Element, None, int]:
        position, number = self._skip(start + 1), 0
        if self._text[position : position + 1] == "]":
            return position + 1
        while True:
            value, end = self._value(position)
            yield Element(f"{place}/{number}", value, self._text[position:end])
            number += 1
            position, closed = self._after(end, "]")
            if closed:
                return position

    def _object(self, start: int) -> Generator[Element, None, int]:
        value: dict[str, Any] = {}
        position, listed = self._skip(start + 1), False
        if self._text[position : position + 1] == "}":
            yield Element("", value, self._text[start : position + 1])
            return position + 1
        while True:
            key, position = self._key(position)
            if key in self._keys and self._text[position : position + 1] == "[":
                listed = True
                end = yield from self._array(position, f"/{key}")
            else:
                member, end = self._value(position)
                if value.setdefault(key, member) != member:
                    self._fail(f"the key {key!r} stands twice, with different values,", position)
            position, closed = self._after(end, "}")
            if closed:
                break
        if not listed:
            yield Element("", value, self._text[start:position])
        return position

    def _key(self, position: int) -> tuple[str, int]:
        if self._text[position : position + 1] != '"':
            self._fail("expected a key in double quotes", position)
        key, end = self._value(position)
        end = self._skip(end)
        if self._text[end : end + 1] != ":":
            self._fail("expected ':' behind a key", end)
        return key, self._skip(end + 1)

    def _after(self, end: int, closing: str) -> tuple[int, bool]:
        position = self._skip(end)
        found = self._text[position : position + 1]
        if found == closing:
            return position + 1, True
        if found != ",":
            self._fail(f"expected ',' or '{closing}'", position)
        return self._skip(position + 1), False

    def _value(self, position: int) -> tuple[Any, int]:
        try:
            return DECODER.raw_decode(self._text, position)
        except (ValueError, RecursionError) as error:
            raise ItemRejected(_reason(self._text, error, position)) from None

    def _skip(self, position: int) -> int:
        found = SPACE.match(self._text, position)
        return found.end() if found else position

    def _fail(self, what: str, position: int) -> NoReturn:
        raise ItemRejected(f"not JSON: {what} {_place(self._text, position)}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # The same thing said twice is harmless; two values for one key leave open which one is meant.
        twice = next((key for key, member in pairs if value[key] != member), None)
        if twice is not None:
            msg = f"the key {twice!r} stands twice in one object, with different values"
            raise ValueError(msg)
    return value


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


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


def _reason(text: str, error: ValueError | RecursionError, position: int = 0) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} {_place(text, error.pos)}"
    if isinstance(error, RecursionError):
        return f"the JSON value {_place(text, position)} is nested too deeply"
    return f"not acceptable JSON in the value {_place(text, position)}: {error}"


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"(line {line}, column {column})"
