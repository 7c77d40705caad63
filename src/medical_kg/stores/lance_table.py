"""One LanceDB table that holds all of an index, so that one commit of Lance replaces roots as a whole.

Each row says in ``what`` what it is: a ``root`` with the version that wrote it, a ``document``, a ``chunk`` with its words and
vector, or the ``embedder``. A reader sees the table as one commit left it. Writers, of all processes, take turns by a lock on
a file, which the system lets go of when a process ends, however it ends.

Only vectors of another dimension, which replace all there are, take a commit of their own before: the column is made anew.

No index is made on ``key``: after an optimization, merging by an indexed key has found nothing (lancedb issue 3177).
"""

from __future__ import annotations

import fcntl
import warnings
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from medical_kg import StorageError
from medical_kg.stores.fusion import Scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

NAME = "index"
LOCK = "writing.lock"
MOST_FRAGMENTS = 24
"""Each write leaves a fragment; so many are put together, and their words into one full-text index."""
KEEP_OLD = timedelta(hours=1)
"""How long a reader may go on with what a write has replaced."""
Row = dict[str, Any]


class LanceTable:
    """The rows of an index in a folder; the folder and the table are made by the first write."""

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self.folder = folder

    def open(self) -> Any:
        """Return the table as the last commit left it; None while there is none."""
        import lancedb

        if not (self.folder / f"{NAME}.lance").is_dir():
            return None
        with self._failures():
            return lancedb.connect(self.folder).open_table(NAME)

    def read(self, where: str, columns: Sequence[str], table: Any = None) -> list[Row]:
        """Return the rows for which ``where`` holds, none where there is no table."""
        table = table or self.open()
        if table is None:
            return []
        with self._failures():
            rows: list[Row] = table.search().where(where).select(list(columns)).limit(None).to_list()
        return rows

    def count(self, where: str, table: Any = None) -> int:
        """Return for how many rows ``where`` holds."""
        table = table or self.open()
        with self._failures():
            return 0 if table is None else int(table.count_rows(where))

    def by_words(self, table: Any, words: Sequence[str], where: str, size: int) -> list[Scored]:
        """Return the best chunks with any of these words, by BM25."""
        if not words or not table.list_indices():
            return []
        from lancedb.query import MatchQuery

        with self._failures():
            query = table.search(MatchQuery(" ".join(words), "words"), query_type="fts").where(where, prefilter=True)
            found = query.select(["number", "_score"]).limit(size).to_list()
        return _ranked((row["number"], row["_score"]) for row in found)

    def by_vector(self, table: Any, vector: Any, where: str, size: int) -> list[Scored]:
        """Return the nearest chunks by cosine, compared with all."""
        if dimension_of(table) is None:
            return []
        with self._failures():
            query = table.search(vector, vector_column_name="vector").distance_type("cosine")
            query = query.where(f"{where} AND vector IS NOT NULL", prefilter=True)
            found = query.select(["number", "_distance"]).limit(size).to_list()
        return _ranked((row["number"], 1 - row["_distance"]) for row in found)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait for one's turn to write."""
        with self._failures():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCK).open("ab")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def merge(self, rows: Iterable[Row], gone: str, dimension: int | None) -> None:
        """Write rows over those with their keys, and delete others for which ``gone`` holds, in one commit."""
        import pyarrow as pa

        with self._failures():
            table = self._made(dimension)
            given = pa.Table.from_pylist(list(rows), schema=table.schema)
            merging = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
            merging.when_not_matched_by_source_delete(gone).execute(given, on_bad_vectors="null")
            self._tidy(table)

    def rewrite(self, kept: str) -> None:
        """Keep the rows for which ``kept`` holds, and leave no byte of the others in any file."""
        import lancedb

        with self._failures():
            database = lancedb.connect(self.folder)
            rows = database.open_table(NAME).search().where(kept).limit(None).to_batches()
            table = database.create_table(NAME, rows, mode="overwrite", on_bad_vectors="null")
            _index_words(table)
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "optimize", UserWarning
                )  # readers of the old rows fail: that is meant
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)

    def _made(self, dimension: int | None) -> Any:
        """Return the table, with a column for vectors of this dimension where one is given."""
        import lancedb
        import pyarrow as pa

        table = self.open()
        if table is None:
            table = lancedb.connect(self.folder).create_table(NAME, schema=_schema())
        if dimension is not None and dimension_of(table) != dimension:
            if "vector" in table.schema.names:
                table.drop_columns(["vector"])
            table.add_columns(pa.field("vector", pa.list_(pa.float32(), dimension)))
        return table

    def _tidy(self, table: Any) -> None:
        if not table.list_indices():
            _index_words(table)
        if table.stats()["fragment_stats"]["num_fragments"] > MOST_FRAGMENTS:
            table.optimize(cleanup_older_than=KEEP_OLD)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, OSError, ValueError) as error:
            raise StorageError(f"the index in {self.folder} cannot be used: {error}") from error


def _ranked(found: Iterable[tuple[int, float]]) -> list[Scored]:
    return sorted((Scored(*one) for one in found), key=lambda one: (-one.score, one.key))


def dimension_of(table: Any) -> int | None:
    """Return the dimension of the table's vectors; None while it has none."""
    return table.schema.field("vector").type.list_size if "vector" in table.schema.names else None


def quoted(value: str) -> str:
    """Return a text as a literal of the filter language."""
    return "'" + value.replace("'", "''") + "'"


def among(column: str, values: Iterable[str | int]) -> str:
    """Return a condition that a column is one of these values."""
    listed = ", ".join(quoted(one) if isinstance(one, str) else str(one) for one in values)
    return f"{column} IN ({listed})" if listed else "false"


def _schema() -> Any:
    import pyarrow as pa

    texts = pa.list_(pa.string())
    types: Mapping[str, Any] = {
        **dict.fromkeys(("key", "what", "root", "digest", "id", "document", "json", "title"), pa.string()),
        **dict.fromkeys(("kind", "source", "format", "words"), pa.string()),
        **dict.fromkeys(("version", "number", "ordinal", "year"), pa.int64()),
        **dict.fromkeys(("identifiers", "works"), texts),
    }
    return pa.schema([pa.field(name, type_, nullable=name != "key") for name, type_ in types.items()])


def _index_words(table: Any) -> None:
    """Let words be found: stemmed and without accents. Positions are left out: with them, optimizing has crashed (lance 7653)."""
    from lancedb.index import FTS

    words = FTS(with_position=False, stem=True, remove_stop_words=False, ascii_folding=True, lower_case=True)
    table.create_index("words", config=words, replace=True)
