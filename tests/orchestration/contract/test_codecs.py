"""Codecs: what goes in comes out, equal values give equal bytes, damage and loss are refused."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import BaseModel, BeforeValidator, ConfigDict

from medical_kg import JsonLines, VectorLines

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)
    text: str
    number: int | None = None


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: str
    inner: tuple[Inner, ...] = ()
    score: float | None = None
    more: dict[str, Any] = {}
    at: datetime | None = None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3),
    max_leaves=6,
)
RECORDS = st.builds(
    Record,
    id=TEXT,
    inner=st.lists(st.builds(Inner, text=TEXT, number=st.none() | st.integers()), max_size=3).map(tuple),
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    more=st.dictionaries(TEXT, JSON, max_size=3),
    at=st.none() | st.datetimes(timezones=st.just(UTC)),
)
CODEC = JsonLines(list[Record])


@given(st.lists(RECORDS, max_size=4))
def test_records_come_back(records: list[Record]) -> None:
    """Encoding loses nothing, and an equal value made anew gives the same bytes."""
    data = CODEC.encode(records)
    assert CODEC.decode(data) == records
    assert JsonLines(list[Record]).encode([record.model_copy(deep=True) for record in records]) == data
    assert data.count(b"\n") == len(records)


@pytest.mark.parametrize("text", ["a\u2028b\u2029c\x85d", "a\x00b", "a\r\nb\x0b\x0c", "\U0001f9ec", "\ufeff", ""])
def test_only_newline_ends_a_record(text: str) -> None:
    """Characters that other programs take for line ends stay inside a record."""
    records = [Record(id=text), Record(id="next")]
    assert CODEC.decode(CODEC.encode(records)) == records


def test_empty_list_and_single_values() -> None:
    """An empty list is no line; a single value is one."""
    assert CODEC.encode([]) == b""
    assert CODEC.decode(b"") == []
    single = JsonLines(dict[str, int])
    assert single.encode({"a": 1}) == b'{"a":1}\n'
    assert single.decode(b'{"a":1}\n') == {"a": 1}
    assert JsonLines(Inner).decode(JsonLines(Inner).encode(Inner(text="x"))) == Inner(text="x")


def test_the_order_of_a_mapping_is_kept() -> None:
    """The order of keys is part of a value, so it comes back and shows in the bytes."""
    codec = JsonLines(dict[str, int])
    assert list(codec.decode(codec.encode({"b": 1, "a": 2}))) == ["b", "a"]
    assert codec.encode({"b": 1, "a": 2}) != codec.encode({"a": 2, "b": 1})


@pytest.mark.parametrize("type_", [list[set[str]], frozenset[int], list[dict[str, set[str]]]])
def test_sets_are_refused(type_: Any) -> None:
    """A set's order differs from process to process, so equal sets would give different bytes."""
    with pytest.raises(TypeError, match="holds a set, whose order differs from process to process; use a sorted tuple"):
        JsonLines(type_).encode([])


def test_a_lone_surrogate_is_refused() -> None:
    """Text that is not Unicode cannot be stored; the message says which record."""
    with pytest.raises(ValueError, match=r"record 2 cannot be written as .*Record.*surrogates not allowed"):
        CODEC.encode([Record(id="a"), Record(id="\ud800")])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["score", "any", "deep", "list"])
def test_numbers_that_json_lacks_are_refused(number: float, where: str) -> None:
    """NaN and infinities never become null: they are refused, wherever they are, with the record's number."""
    more = {"any": {"x": number}, "deep": {"x": {"y": [1, {"z": number}]}}, "list": {"x": [None, number]}}
    record = Record(id="a", score=number) if where == "score" else Record(id="a", more=more[where])
    with pytest.raises(ValueError, match="record 1 holds NaN or an infinity, which JSON has no number for"):
        CODEC.encode([record])


def test_numbers_that_json_lacks_in_other_types() -> None:
    """The rule holds for plain mappings, dataclasses and values of any type."""

    @dataclass
    class Point:
        x: float

    for type_, value in ((dict[str, float], {"x": math.nan}), (Point, Point(math.nan)), (Any, [math.inf])):
        with pytest.raises(ValueError, match="NaN or an infinity"):
            JsonLines(type_).encode(value)
    assert JsonLines(list[Point]).decode(JsonLines(list[Point]).encode([Point(1.5)])) == [Point(1.5)]


@pytest.mark.parametrize("form", ["constants", "strings"])
def test_a_model_may_say_how_to_write_them(form: Any) -> None:
    """A model that writes NaN in a way that comes back is taken at its word, with a None beside it too."""

    class Said(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan=form)
        x: float
        note: str | None = None

    codec = JsonLines(list[Said])
    assert math.isnan(codec.decode(codec.encode([Said(x=math.nan)]))[0].x)
    assert codec.decode(codec.encode([Said(x=-math.inf)]))[0].x == -math.inf


@pytest.mark.parametrize(
    ("codec", "value"),
    [(CODEC, [{"id": "a"}]), (CODEC, [Inner(text="x")]), (CODEC, ["a"]), (JsonLines(int), "three")],
)
def test_what_is_of_another_type_is_refused(codec: JsonLines, value: Any) -> None:
    """A record of another type is refused, not stored as something else."""
    with pytest.raises(
        (TypeError, ValueError), match=r"record 1 (is a (dict|Inner|str), not a Record|cannot be written)"
    ):
        codec.encode(value)


@pytest.mark.parametrize("value", [(), {"a": 1}, "text", None])
def test_a_list_is_a_list(value: Any) -> None:
    """What is no list is refused where a list is declared."""
    with pytest.raises(TypeError, match=rf"expected a list of records, not {type(value).__name__}$"):
        CODEC.encode(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":"a"}',
        b'{"id":"a"}\n{"id"',
        b'{"id":"a"}\n\n',
        b"\n",
        b"[]\n",
        b"null\n",
        b"\xff\n",
        b'{"id":1}\n',
        b"{}\n",
    ],
)
def test_damaged_lines(data: bytes) -> None:
    """Bytes that were cut or changed are refused."""
    with pytest.raises(ValueError, match=r".+"):
        CODEC.decode(data)


@pytest.mark.parametrize("data", [b"", b"1\n2\n", b"1", b"\n"])
def test_a_single_value_is_one_line(data: bytes) -> None:
    """More or less than one whole line is damage."""
    with pytest.raises(ValueError, match=r".+"):
        JsonLines(int).decode(data)


@pytest.mark.parametrize(
    ("codec", "data", "reason"),
    [
        (CODEC, b'{"id":"a"}\n{"id"', "the last of 2 records is cut short"),
        (CODEC, b'{"id"', "the last of 1 records is cut short"),
        (JsonLines(int), b"1\n2\n", "expected one record, found 2"),
        (JsonLines(int), b"", "expected one record, found 0"),
    ],
)
def test_what_is_cut_is_told(codec: JsonLines, data: bytes, reason: str) -> None:
    """The message says how many records there are, and which is not whole."""
    with pytest.raises(ValueError, match=f"^{reason}$"):
        codec.decode(data)


def test_a_dataclass_is_a_record_too() -> None:
    """A record of another class is refused where dataclasses are declared, even one that looks the same."""

    @dataclass
    class Point:
        x: float

    @dataclass
    class Other:
        x: float

    with pytest.raises(TypeError, match=r"^record 1 is a Other, not a Point$"):
        JsonLines(list[Point]).encode([Other(1.0)])


def test_a_refusal_shows_the_beginning_of_the_line() -> None:
    """A long record is shown to its 80th character."""
    with pytest.raises(ValueError, match="NaN") as caught:
        CODEC.encode([Record(id="x" * 200, score=math.nan)])
    assert str(caught.value).endswith(repr(b'{"id":"' + b"x" * 73))


# Vectors


Vector = Annotated[np.ndarray, BeforeValidator(np.asarray)]


class Embedded(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, strict=True)

    id: str
    at: datetime | None = None
    parts: tuple[str, ...] = ()
    score: float = 0.0
    vector: Vector


VECTORS = VectorLines(list[Embedded])


def embedded(*vectors: Any) -> list[Embedded]:
    return [Embedded(id=f"e{n}", vector=np.asarray(v, dtype=np.float32)) for n, v in enumerate(vectors)]


@given(
    st.integers(0, 4).flatmap(lambda n: st.lists(arrays(np.float32, n, elements=st.floats(width=32)), max_size=3)),
    TEXT,
)
def test_vectors_come_back(vectors: list[Any], name: str) -> None:
    """Every bit of every float comes back, NaN and infinities too; equal values give equal bytes."""
    records = [Embedded(id=name, at=datetime(2026, 1, 2, tzinfo=UTC), parts=("a",), vector=v) for v in vectors]
    data = VECTORS.encode(records)
    found = VECTORS.decode(data)
    assert [(r.id, r.at, r.parts) for r in found] == [(r.id, r.at, r.parts) for r in records]
    assert [r.vector.tobytes() for r in found] == [v.tobytes() for v in vectors]
    assert all(r.vector.dtype == np.float32 for r in found)
    assert VECTORS.encode([r.model_copy(update={"vector": r.vector.copy()}) for r in records]) == data


def test_the_layout_of_vectors() -> None:
    """A head line, the records without vectors, the matrix: as documented."""
    codec = VectorLines(list[Embedded])
    head, row, floats = codec.encode(embedded([1, 2])).split(b"\n", 2)
    assert json.loads(head) == {"records": 1, "dimension": 2}
    assert json.loads(row) == {"id": "e0", "at": None, "parts": [], "score": 0.0}
    assert floats == np.array([1, 2], dtype="<f4").tobytes()


def test_no_vectors() -> None:
    """An empty list is a head line."""
    assert VECTORS.encode([]) == b'{"records": 0, "dimension": 0}\n'
    assert VECTORS.decode(VECTORS.encode([])) == []


def test_the_vector_s_field_may_have_another_name() -> None:
    """The vector is the field ``vector`` unless another is named; only that one is left out of the lines."""

    class Named(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        id: str
        point: Vector

    codec = VectorLines(list[Named], field="point")
    (again,) = codec.decode(codec.encode([Named(id="n", point=np.ones(2, dtype=np.float32))]))
    assert (again.id, again.point.tolist()) == ("n", [1.0, 1.0])


def test_big_endian_vectors_are_the_same_value() -> None:
    """How a machine stores a float is not part of the value."""
    big = [Embedded(id="e0", vector=np.array([1, 2], dtype=">f4"))]
    assert VECTORS.encode(big) == VECTORS.encode(embedded([1, 2]))


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [(([1, 2], [1]), "must all have dimension 2"), (([[1, 2]],), "must all have dimension 2"), ((1,), "must all have")],
)
def test_vectors_of_unequal_shape(vectors: Any, reason: str) -> None:
    """Vectors of one value have one dimension, and the same."""
    with pytest.raises(ValueError, match=reason):
        VECTORS.encode(embedded(*vectors))


@pytest.mark.parametrize("vector", [np.zeros(2), np.zeros(2, dtype=np.float16), np.zeros(2, dtype=int), [0.0, 0.0]])
def test_other_numbers_are_refused(vector: Any) -> None:
    """Nothing is narrowed in silence: a vector is float32 or refused."""
    record = Embedded.model_construct(id="e", vector=vector)
    found = f"an array of {vector.dtype}" if isinstance(vector, np.ndarray) else "list"
    with pytest.raises(TypeError, match=rf"^Embedded\.vector must be a float32 array, not {found}$"):
        VECTORS.encode([record])


def test_records_of_another_type() -> None:
    """What has no vector field, or is another record, is refused; so is a number that JSON lacks."""
    with pytest.raises(TypeError, match=r"Inner\.vector must be a float32 array, not NoneType"):
        VECTORS.encode([Inner(text="x")])

    @dataclass
    class Other:
        vector: Any

    with pytest.raises(TypeError, match="record 1 is a Other, not a Embedded"):
        VECTORS.encode([Other(np.zeros(2, dtype=np.float32))])
    with pytest.raises(ValueError, match="record 1"):
        VECTORS.encode([Embedded(id="\ud800", vector=np.zeros(1, dtype=np.float32))])
    with pytest.raises(ValueError, match="NaN or an infinity"):
        VECTORS.encode([Embedded(id="x", score=math.nan, vector=np.zeros(1, dtype=np.float32))])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"records": 1, "dimension": 1}\n{"id": "a"}\n', "expected 1 x 1 float32 values, found 0 bytes"),
        (b'{"records": 1, "dimension": 0}\n[]\n', r"expected a JSON object, found b'[]\n'"),
        (b'{"records": 1, "dimension": 0}\n[' + b"1," * 60 + b"1]\n", "found " + repr(b"[" + b"1," * 39 + b"1")),
        (b'{"records": -1}\n', r"""not b'{"records": -1}\n'"""),
        (b'{"records": "' + b"9" * 99 + b'"}\n', "not " + repr(b'{"records": "' + b"9" * 67)),
    ],
)
def test_what_is_wrong_with_vectors_is_told(data: bytes, reason: str) -> None:
    """The message says what was expected and shows what was found, to its 80th character."""
    with pytest.raises(ValueError, match=rf"{re.escape(reason)}$"):
        VECTORS.decode(data)


@pytest.mark.parametrize("type_", [Embedded, list, dict[str, Embedded], None])
def test_vectors_are_of_lists(type_: Any) -> None:
    """The codec for vectors is for lists of records."""
    with pytest.raises(TypeError, match="VectorLines is for list"):
        VectorLines(type_)


DATA = VECTORS.encode(embedded([1, 2], [3, 4]))


@pytest.mark.parametrize("cut", range(len(DATA)))
def test_every_truncation_shows(cut: int) -> None:
    """Bytes that end too early are refused, wherever they end."""
    with pytest.raises(ValueError, match=r".+"):
        VECTORS.decode(DATA[:cut])


@pytest.mark.parametrize(
    "data",
    [
        DATA + b"\x00",
        b"[]\n",
        b"3\n",
        b"{}\n",
        b'{"records": -1, "dimension": 0}\n',
        b'{"records": 0, "dimension": -4}\n',
        b'{"records": "1", "dimension": 0}\n{}\n',
        b'{"records": 1, "dimension": 0}\n[]\n',
        b'{"records": 1, "dimension": 0}\n{"id": 3}\n',
        b"\xff\xfe\n",
        b"{",
    ],
)
def test_damaged_vectors(data: bytes) -> None:
    """A wrong head, a wrong record and something too much are refused."""
    with pytest.raises(ValueError, match=r".+"):
        VECTORS.decode(data)
