"""What calls of item stages return, as bytes and back, by the codecs of what they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata


class Results:
    """What calls return as bytes and back. What does not fit the metadata is not noted; the engine's code refuses it."""

    def __init__(self, metadata: StageMetadata, *, singly: bool = False) -> None:
        """Look at how the stage gives its results; ``singly``: the result of one item, also where it takes groups."""
        self._keys, self._flat = metadata.writes, metadata.flat
        self._grouped = metadata.items_per_call is not None and not singly
        # Only the stage knows what its handler takes, so such results cannot be noted: the calls are made again.
        self._opaque = metadata.output_handler is not None

    def dump(self, result: Any) -> tuple[dict[str, Any], bytes] | None:
        """Return head and body of a note, or None where there is no way to note it."""
        if self._opaque:
            return None
        try:
            rows = [self._columns(one) for one in (result if self._grouped else [result])]
            parts = [
                key.codec.encode([record for row in rows for record in row[index]])  # type: ignore[union-attr]  # keys have codecs
                for index, key in enumerate(self._keys)
            ]
        except Exception:  # noqa: BLE001  # the engine's own checks will refuse it with a better message
            return None
        sizes = [[len(column) for column in row] for row in rows]
        return {"sizes": sizes, "bytes": [len(part) for part in parts]}, b"".join(parts)

    def _columns(self, result: Any) -> list[list[Any]]:
        if not self._keys:
            return []
        if len(self._keys) == 1:
            return [list(result) if self._flat else [result]]
        named = {getattr(key, "name", key): value for key, value in result.items()}
        return [list(named[key.name]) if self._flat else [named[key.name]] for key in self._keys]

    def load(self, head: Mapping[str, Any], body: bytes) -> Any:
        """Return the result of a note."""
        columns, at = [], 0
        for key, size in zip(self._keys, head["bytes"], strict=True):
            assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
            columns.append(iter(key.codec.decode(body[at : at + size])))
            at += size
        results = [self._result(columns, sizes) for sizes in head["sizes"]]
        return results if self._grouped else results[0]

    def _result(self, columns: Sequence[Any], sizes: Sequence[int]) -> Any:
        rows = [[next(column) for _ in range(size)] for column, size in zip(columns, sizes, strict=True)]
        values = rows if self._flat else [row[0] for row in rows]
        if not self._keys:
            return None
        if len(self._keys) == 1:
            return values[0]
        return {key.name: value for key, value in zip(self._keys, values, strict=True)}
