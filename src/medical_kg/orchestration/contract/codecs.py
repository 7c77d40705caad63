"""How values of state keys become bytes and come back: JSON lines for records, arrays for vectors, never pickle."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_origin, runtime_checkable

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    import numpy as np


@runtime_checkable
class Codec(Protocol):
    """Turns the whole value of a state key into bytes and back, losing nothing.

    Equal values must give equal bytes: a checkpoint is named by its content.
    """

    @property
    def suffix(self) -> str:
        """The file ending of an encoded value, e.g. ``.jsonl``."""

    def encode(self, value: Any) -> bytes:
        """Return the value's bytes; raise ``ValueError`` or ``TypeError`` when it does not fit the type."""

    def decode(self, data: bytes) -> Any:
        """Return the value; raise ``ValueError`` when the bytes are damaged."""


class JsonLines:
    """Records as UTF-8 JSON, one a line; a key that is a single value takes one line.

    The order of a mapping's keys is part of the value. A set has no order, so its bytes would differ from process to
    process: a record type with one is refused, use a sorted tuple.

    Args:
        type_: ``list[Record]`` or a single type, anything pydantic can validate.
    """

    suffix = ".jsonl"

    def __init__(self, type_: Any) -> None:
        """Keep the type; pydantic's machinery is built at first use."""
        self._many = get_origin(type_) is list
        self._records = _Records(get_args(type_)[0] if self._many else type_)

    def encode(self, value: Any) -> bytes:
        """Return one line per record.

        Raises:
            TypeError: the record type holds sets, the value is not a list where one is declared, or a record is of
                another type.
            ValueError: a record holds something else than its type says, or text or numbers that JSON cannot.
        """
        if self._many and not isinstance(value, list):
            msg = f"expected a list of records, not {type(value).__name__}"
            raise TypeError(msg)
        return self._records.encode(value if self._many else [value])

    def unchecked(self, records: Iterable[Any]) -> list[bytes]:
        """Return each record's line without looking whether it fits its type: quick, to tell whether it has changed.

        Raises:
            ValueError: a record cannot be written.
        """
        dump = self._records.adapter.serializer.to_json
        return [dump(record, warnings=False) for record in records]

    def decode(self, data: bytes) -> Any:
        """Return the records, validated.

        Raises:
            ValueError: the bytes are damaged. (That whole lines at the end are missing does not show.)
        """
        # Only b"\n" ends a record: str.splitlines would also cut at U+2028 inside one.
        *lines, rest = data.split(b"\n")
        if rest:
            msg = f"the last of {len(lines) + 1} records is cut short"
            raise ValueError(msg)
        if not self._many and len(lines) != 1:
            msg = f"expected one record, found {len(lines)}"
            raise ValueError(msg)
        load = self._records.adapter.validate_json
        records = [load(line) for line in lines]
        return records if self._many else records[0]


class VectorLines:
    """Records with one float32 vector each: a JSON head line, the records without vectors, then the matrix.

    The layout is: a line ``{"records": n, "dimension": d}``, n JSON lines, then n x d little-endian float32.

    Args:
        type_: ``list[Record]`` where Record is a pydantic model or dataclass.
        field: the name of the vector field, a one-dimensional numpy float32 array.

    Raises:
        TypeError: the type is not a list of records.
    """

    suffix = ".vectors"

    def __init__(self, type_: Any, field: str = "vector") -> None:
        """Keep the record type and the name of its vector field."""
        if get_origin(type_) is not list or not get_args(type_):
            msg = f"VectorLines is for list[Record], not {type_!r}"
            raise TypeError(msg)
        self._field = field
        self._records = _Records(get_args(type_)[0], exclude=field)

    def encode(self, value: Any) -> bytes:
        """Return head, records and matrix.

        Raises:
            TypeError: a record is of another type, or its vector is not a float32 array.
            ValueError: vectors are of unequal length or not of one dimension, or a record does not fit its type.
        """
        vectors = [self._vector(record) for record in value]
        dimension = vectors[0].size if vectors else 0
        if any(vector.shape != (dimension,) for vector in vectors):
            msg = f"vectors of one value must all have dimension {dimension}"
            raise ValueError(msg)
        head = json.dumps({"records": len(value), "dimension": dimension}).encode() + b"\n"
        return b"".join([head, self._records.encode(value), *(vector.tobytes() for vector in vectors)])

    def decode(self, data: bytes) -> Any:
        """Return the records with their vectors.

        Raises:
            ValueError: the bytes are damaged.
        """
        import numpy as np

        stream = io.BytesIO(data)
        count, dimension = _shape(stream.readline())
        rows = [_row(stream.readline()) for _ in range(count)]
        floats = stream.read()
        if len(floats) != count * dimension * 4:
            msg = f"expected {count} x {dimension} float32 values, found {len(floats)} bytes"
            raise ValueError(msg)
        matrix = np.frombuffer(floats, dtype="<f4").reshape(count, dimension)
        # strict=False: what JSON has no type for (a tuple, a time) comes back as what stands for it.
        return [
            self._records.adapter.validate_python({**row, self._field: vector}, strict=False)
            for row, vector in zip(rows, matrix, strict=True)
        ]

    def _vector(self, record: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        import numpy as np

        vector = getattr(record, self._field, None)
        # Narrowing would lose digits without a word.
        if not isinstance(vector, np.ndarray) or vector.dtype.newbyteorder("=") != np.float32:
            found = f"an array of {vector.dtype}" if isinstance(vector, np.ndarray) else type(vector).__name__
            msg = f"{type(record).__name__}.{self._field} must be a float32 array, not {found}"
            raise TypeError(msg)
        return vector.astype("<f4", copy=False)


def _shape(line: bytes) -> tuple[int, int]:
    head = _row(line)
    count, dimension = head.get("records"), head.get("dimension")
    if isinstance(count, int) and isinstance(dimension, int) and min(count, dimension) >= 0:
        return count, dimension
    msg = f"the first line must say how many records and dimensions follow, not {line[:80]!r}"
    raise ValueError(msg)


def _row(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        msg = f"expected a JSON object, found {line[:80]!r}"
        raise ValueError(msg)  # noqa: TRY004  # the bytes are damaged, whatever they spell
    return row


class _Records:
    """Records of one type as lines of JSON, with what pydantic alone would lose refused."""

    def __init__(self, item_type: Any, exclude: str | None = None) -> None:
        self._item_type = item_type
        self._exclude = None if exclude is None else {exclude}
        # pydantic writes one model in place of another without a word.
        is_record = isinstance(item_type, type) and (issubclass(item_type, BaseModel) or is_dataclass(item_type))
        self._classes = (item_type,) if is_record else ()

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._item_type)

    @cached_property
    def _kinds(self) -> frozenset[str]:
        """The kinds of schema that occur in the type, by pydantic's names."""
        kinds = frozenset(_kinds(self.adapter.core_schema))
        if kinds & {"set", "frozenset"}:
            msg = f"{self._item_type} holds a set, whose order differs from process to process; use a sorted tuple"
            raise TypeError(msg)
        return kinds

    def encode(self, records: Iterable[Any]) -> bytes:
        may_hold_floats = bool(self._kinds & {"float", "any"})
        dump, lines = self.adapter.dump_json, []
        for number, record in enumerate(records, start=1):
            if self._classes and not isinstance(record, self._classes):
                msg = f"record {number} is a {type(record).__name__}, not a {self._item_type.__name__}"
                raise TypeError(msg)
            try:
                line = dump(record, exclude=self._exclude, warnings="error")
            except ValueError as error:
                msg = f"record {number} cannot be written as {self._item_type}: {error}"
                raise ValueError(msg) from error
            # pydantic writes NaN and infinities as null, unless the record's model says otherwise.
            if may_hold_floats and b"null" in line and not self._keeps_floats(record, line):
                msg = f"record {number} holds NaN or an infinity, which JSON has no number for: {line[:80]!r}"
                raise ValueError(msg)
            lines.append(line)
        return b"".join(line + b"\n" for line in lines)

    def _keeps_floats(self, record: Any, line: bytes) -> bool:
        if all(math.isfinite(part) for part in _parts(record) if isinstance(part, float)):
            return True
        plain = self.adapter.dump_python(record, exclude=self._exclude)
        return _nulls(json.loads(line)) == _nulls(plain)


def _kinds(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("type"), str):
            yield schema["type"]
        for part in schema.values():
            yield from _kinds(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _kinds(part)


def _nulls(value: Any) -> int:
    return sum(part is None for part in _parts(value))


def _parts(value: Any) -> list[Any]:
    """Return the value and everything in it, except whole numbers and text (most of it, and of no interest here)."""
    parts = [value]
    for part in parts:
        if isinstance(part, dict):
            inside: Iterable[Any] = part.values()
        elif isinstance(part, list | tuple):
            inside = part
        elif isinstance(part, BaseModel):
            inside = part.__dict__.values()
        elif is_dataclass(part):
            inside = (getattr(part, known.name) for known in fields(part))
        else:
            continue
        parts.extend(one for one in inside if type(one) is not str and type(one) is not int)
    return parts
