"""Walking the top of a JSON text and decoding one record at a time, strictly."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from medical_kg import ItemRejected

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator

SPACE = re.compile(r"[ \t\r\n]*")

MAX_DEPTH = 200
"""How deep objects and arrays may stand in each other. The same under every interpreter, whose own limits differ."""

MAX_DIGITS = 1000
"""The most digits of a whole number: reading one takes time by the square of its length."""

TOO_DEEP = f"it is nested too deeply: more than {MAX_DEPTH} objects or arrays stand in each other"


class Element(NamedTuple):
    """One record as it stands in the file: its place, its value and its own text."""

    place: str
    value: Any
    text: str


class Scanner:
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
            value, end = DECODER.raw_decode(self._text, position)
            refuse_depth(value)
        except (ValueError, RecursionError) as error:
            raise ItemRejected(reason_of(self._text, error, position)) from None
        return value, end

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


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        # It would be read as infinity, which nobody wrote and JSON cannot hold.
        msg = f"the number {digits[:40]} is too large"
        raise ValueError(msg)
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        msg = f"a number of {len(digits):,} digits is too long; at most {MAX_DIGITS:,} are read"
        raise ValueError(msg)
    return int(digits)


DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
)


def refuse_depth(value: Any) -> None:
    """Raise ``RecursionError`` for a value that is nested deeper than ``MAX_DEPTH``; it is walked level by level."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        # The decoder makes no subclasses, and this looks at every value of every record: types are compared as they are.
        held = [one.values() if type(one) is dict else one for one in level]
        level = [one for members in held for one in members if type(one) is dict or type(one) is list]
    if level:
        raise RecursionError


def reason_of(text: str, error: ValueError | RecursionError, position: int = 0) -> str:
    """Return why a value of the text was refused, with its place."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} {_place(text, error.pos)}"
    if isinstance(error, RecursionError):
        return f"not acceptable JSON in the value {_place(text, position)}: {TOO_DEEP}"
    return f"not acceptable JSON in the value {_place(text, position)}: {error}"


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"(line {line}, column {column})"
