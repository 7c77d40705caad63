"""How values of state keys become bytes and come back: JSON lines for records, arrays for vectors, never pickle."""

from __future__ import annotations

import io
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_origin, runtime_checkable

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Callable


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

    Args:
        type_: ``list[Record]`` or a single type, anything pydantic can validate.
    """

    suffix = ".jsonl"

    def __init__(self, type_: Any) -> None:
        """Keep the type; pydantic's machinery is built at first use."""
        self._many = get_origin(type_) is list
        self._item_type = get_args(type_)[0] if self._many else type_

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._item_type)

    def encode(self, value: Any) -> bytes:
        """Return one line per record; a record of another type is refused."""
        dump: Callable[..., bytes] = self._adapter.dump_json
        records = value if self._many else [value]
        return b"".join(dump(record, warnings="error") + b"\n" for record in records)

    def decode(self, data: bytes) -> Any:
        """Return the records, validated."""
        load = self._adapter.validate_json
        # Only b"\n" ends a record: str.splitlines would also cut at U+2028 inside one.
        records = [load(line) for line in data.split(b"\n")[:-1]]
        return records if self._many else records[0]


class VectorLines:
    """Records with one float32 vector each: a JSON head line, the records without vectors, then the matrix.

    The layout is: a line ``{"records": n, "dimension": d}``, n JSON lines, then n x d little-endian float32.

    Args:
        type_: ``list[Record]`` where Record is a pydantic model or dataclass.
        field: the name of the vector field, a one-dimensional numpy float32 array.
    """

    suffix = ".vectors"

    def __init__(self, type_: Any, field: str = "vector") -> None:
        """Keep the record type and the name of its vector field."""
        self._item_type = get_args(type_)[0]
        self._field = field

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._item_type)

    def encode(self, value: Any) -> bytes:
        """Return head, records and matrix; vectors of unequal length are refused."""
        import numpy as np

        vectors = [np.asarray(getattr(record, self._field), dtype="<f4") for record in value]
        dimension = len(vectors[0]) if vectors else 0
        if any(vector.shape != (dimension,) for vector in vectors):
            msg = f"vectors of one value must all have dimension {dimension}"
            raise ValueError(msg)
        head = json.dumps({"records": len(value), "dimension": dimension}).encode() + b"\n"
        lines = [self._adapter.dump_json(record, exclude={self._field}) + b"\n" for record in value]
        return b"".join([head, *lines, *(vector.tobytes() for vector in vectors)])

    def decode(self, data: bytes) -> Any:
        """Return the records with their vectors."""
        import numpy as np

        stream = io.BytesIO(data)
        shape = json.loads(stream.readline())
        count, dimension = shape["records"], shape["dimension"]
        rows = [json.loads(stream.readline()) for _ in range(count)]
        floats = stream.read()
        if len(floats) != count * dimension * 4:
            msg = f"expected {count} x {dimension} float32 values, found {len(floats)} bytes"
            raise ValueError(msg)
        matrix = np.frombuffer(floats, dtype="<f4").reshape(count, dimension)
        return [
            self._adapter.validate_python({**row, self._field: vector})
            for row, vector in zip(rows, matrix, strict=True)
        ]
