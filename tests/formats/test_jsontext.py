"""Reading JSON records: one at a time, strictly, with the place of whatever is wrong."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg import ItemRejected
from medical_kg.formats import jsontext, pushback
from medical_kg.formats.contract import BadRecord
from medical_kg.formats.jsonscan import Element
from medical_kg.formats.jsontext import decode, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def values(content: bytes) -> list[Any]:
    found = list(elements(io.BytesIO(content), ("results",)))
    assert all(isinstance(one, Element) for one in found)
    return [one.value for one in found if isinstance(one, Element)]


@given(st.lists(VALUES, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_an_array_gives_its_elements(items: list[Any], indent: int | None, ascii_only: bool) -> None:  # noqa: FBT001
    """However it is written, an array gives its elements, each with the text it was read from."""
    content = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode("utf-8", errors="surrogatepass")
    if b"\xed" in content and not ascii_only:
        content = json.dumps(items, indent=indent).encode()
    found = list(elements(io.BytesIO(content), ()))
    assert [one.value for one in found if isinstance(one, Element)] == items
    assert [json.loads(one.text) for one in found if isinstance(one, Element)] == items


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), min_size=1, max_size=4))
def test_lines_give_one_record_each(items: list[Any]) -> None:
    """One object a line is one record a line, blank lines aside."""
    content = "\n\n".join(json.dumps(item) for item in items).encode()
    assert values(content + b"\n") == items


@pytest.mark.parametrize(
    ("content", "good", "reason"),
    [
        (b'[{"a": 1}, {"a": 2}, {"a"', 2, "not JSON: "),
        (b'[{"a": 1} {"a": 2}]', 1, "expected ',' or ']' (line 1, column 11)"),
        (b"[1,\n2,,3]", 2, "not JSON: Expecting value (line 2, column 3)"),
        (b"[][]", 0, "more text behind the end"),
        (b"[1] x", 1, "more text behind the end"),
        (b'{"a": 1} {"b": 2}', 1, "more text behind the end"),
        (b"{1: 2}", 0, "expected a key in double quotes (line 1, column 2)"),
        (b'{"a" 2}', 0, "expected ':' behind a key"),
        (b'{"a": 2]', 0, "expected ',' or '}'"),
        (b"nothing", 0, "expected a JSON object or array (line 1, column 1)"),
        (b"", 0, "expected a JSON object or array"),
        (b"[NaN]", 0, "NaN is not a JSON number"),
        (b"[-Infinity]", 0, "-Infinity is not a JSON number"),
        (b'[{"a": 1, "a": 2}]', 0, "the key 'a' stands twice in one object, with different values"),
        (b'{"a": 1, "a": 2}', 0, "the key 'a' stands twice, with different values"),
        (b"[" * 100_000, 0, "in the value (line 1, column 2): it is nested too deeply: more than 200 "),
        (
            b"[1, " + b"[" * 100_000 + b"]" * 100_000 + b"]",
            1,
            "in the value (line 1, column 5): it is nested too deeply",
        ),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, 0, "it is nested too deeply"),
        (b"[" + b"[" * 201 + b"]" * 201 + b"]", 0, "it is nested too deeply"),
        (b"[-" + b"9" * 1001 + b"]", 0, "in the value (line 1, column 2): a number of 1,002 digits is too long"),
        (b'[{"a": 1e308}, {"a": [1e400]}]', 1, "the number 1e400 is too large"),
        (b"[-1.5E+309]", 0, "the number -1.5E+309 is too large"),
        (b'["\xff"]', 0, "not UTF-8 text: byte 0xff at offset 2 cannot be decoded"),
    ],
)
def test_what_stands_before_a_break_is_kept(content: bytes, good: int, reason: str) -> None:
    """The records before a break are given, then the break is raised with its place."""
    found: list[Element | BadRecord] = []
    with pytest.raises(ItemRejected) as caught:
        found.extend(elements_into(found, content))
    assert len(found) == good
    assert reason in str(caught.value)


def elements_into(found: list[Element | BadRecord], content: bytes) -> list[Element | BadRecord]:
    for element in elements(io.BytesIO(content), ("results",)):
        found.append(element)  # noqa: PERF402  # kept one by one, so that they are there when the break comes
    return []


def test_a_broken_line_is_bad_and_the_next_goes_on() -> None:
    """Lines are independent: one that cannot be read is bad, with its number."""
    content = b'{"a": 1}\n{"a": \n{"a": "\xff"}\n{"a": 4}'
    first, second, third, fourth = elements(io.BytesIO(content), ())
    assert isinstance(first, Element)
    assert first.place == "line 1"
    assert isinstance(second, BadRecord)
    assert second.place == "line 2"
    assert isinstance(third, BadRecord)
    assert "0xff" in third.reason
    assert isinstance(fourth, Element)
    assert fourth.value == {"a": 4}


DEEP, DEEPER = (b'{"a":' * depth + b"1" + b"}" * depth for depth in (201, 100_000))


@pytest.mark.parametrize("first", [b'{"a": 1e400}', b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"a": "\xff"}', DEEP, DEEPER])
def test_a_refused_record_on_the_first_line_costs_itself_only(first: bytes) -> None:
    """Whether a file is lines is told by their shape, not by whether the first one is acceptable."""
    bad, good = elements(io.BytesIO(first + b'\n{"b": 1}\n'), ())
    assert isinstance(bad, BadRecord)
    assert isinstance(good, Element)


@pytest.mark.parametrize("first", [b'{"a":' * 100_000, b"[" * 100_000, DEEPER.replace(b"1", b'{"results": []}')])
def test_a_deep_first_line_that_is_no_record_is_not_taken_for_one(first: bytes) -> None:
    """One that goes on in the next, and a page of records, whose good ones must not go with it."""
    with pytest.raises(ItemRejected):
        list(elements(io.BytesIO(first + b'\n{"b": 1}\n'), ("results",)))


def test_the_same_key_twice_with_one_value_is_harmless() -> None:
    """A repeated key leaves nothing open when its values are equal."""
    assert values(b'{"a": 1, "a": 1}') == [{"a": 1}]
    assert values(b'[{"a": [1], "a": [1]}]') == [{"a": [1]}]


def test_utf_16_and_a_byte_order_mark_are_read() -> None:
    """The encoding is told from the first bytes, as RFC 4627 lays down."""
    assert values('[{"a": "é"}]'.encode("utf-16")) == [{"a": "é"}]
    assert values(b"\xef\xbb\xbf{}") == [{}]


class Broken:
    """A stream that breaks off."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    def read(self, size: int, /) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        raise ItemRejected("cut off")


@pytest.mark.parametrize("content", [b'[{"a": 1}, {"a"', b'[{"a": 1}]', b'{"a": 1}\n{"a', b'{"a": 1'])
def test_a_file_that_is_cut_off_says_so(content: bytes) -> None:
    """What the stream says of its break is more than that the JSON ends early."""
    found: list[Element | BadRecord] = []
    with pytest.raises(ItemRejected, match="cut off"):
        found.extend(element for element in elements(Broken(content), ()))


def test_too_large_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array beyond the limit is refused; lines have a limit each, not together."""
    monkeypatch.setattr(jsontext, "MAX_JSON_BYTES", 100)
    monkeypatch.setattr(pushback, "MAX_LINE_BYTES", 50)
    with pytest.raises(ItemRejected, match="more than 100 bytes"):
        list(elements(io.BytesIO(b"[" + b" " * 100 + b"]"), ()))
    line = b'{"a": "' + b"x" * 30 + b'"}\n'
    assert len(list(elements(io.BytesIO(line * 9), ()))) == 9
    with pytest.raises(ItemRejected, match="a line is longer than 50 bytes"):
        list(elements(io.BytesIO(line + b'{"a": "' + b"x" * 70_000 + b'"}'), ()))


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_how_deep_json_may_be_is_our_own_limit(opening: str) -> None:
    """200 levels are read and 201 refused, under any interpreter: by itself, in an array and a line; text may say anything."""
    closing = {"[": "]"}.get(opening, "}")
    whole, deeper = ((opening * depth + "1" + closing * depth).encode() for depth in (200, 201))
    assert decode(whole) == values(b"[" + whole + b"]")[0]
    assert decode(b'"' + b"[" * 201 + b'"') == "[" * 201
    for refused in (deeper, deeper.replace(b"1", b'"\\ud83d\\ude00"')):
        with pytest.raises(ItemRejected, match="nested too deeply: more than 200"):
            decode(refused)
    good, bad = elements(io.BytesIO(b'{"a": 1}\n' + deeper), ())
    assert (type(good), type(bad)) == (Element, BadRecord)


def test_decode_reads_one_value() -> None:
    """A record alone is decoded as strictly as in its file."""
    assert decode(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
    with pytest.raises(ItemRejected, match="half of a surrogate pair behind 'x'"):
        decode(b'{"a": "x\\ud83d"}')
    with pytest.raises(ItemRejected, match="half of a surrogate pair behind ''"):
        decode(b'[{"\\udc00": 1}]')
    with pytest.raises(ItemRejected, match="1e999 is too large"):
        decode(b'{"a": 1e999}')
    with pytest.raises(ItemRejected, match="nested too deeply"):
        decode(b'{"a":' * 100_000)
