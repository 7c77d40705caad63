"""The full-text index in Postgres: one ``tsvector`` per chunk under a GIN index.

Words are cut, case folded and stripped of accents here, so that no server's language setting shows, and stemmed by the
server (Snowball English). Postgres ranks without regard to how rare a word is: its ``ts_rank`` of each word, which is
damped by the chunk's length, is weighted by the word's inverse document frequency as BM25 has it (Robertson and
Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, 2009) and summed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Numeric, bindparam, column, select, text

from medical_kg.stores.fusion import Scored
from medical_kg.stores.index_rows import chunk_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Select

    from medical_kg.stores.index_rows import RootRows

LETTERS = re.compile(r"[^\W_]+")

CREATE = """
DO $$ BEGIN
    IF to_regclass('index_text') IS NULL THEN
        CREATE TEXT SEARCH DICTIONARY medical_kg_stem (TEMPLATE = snowball, LANGUAGE = english);
        CREATE TEXT SEARCH CONFIGURATION medical_kg (PARSER = "default");
        ALTER TEXT SEARCH CONFIGURATION medical_kg
            ADD MAPPING FOR asciiword, word, numword, int, uint, float, sfloat, version WITH medical_kg_stem;
        CREATE TABLE index_text (
            key bigint PRIMARY KEY REFERENCES index_chunks ON DELETE CASCADE,
            words tsvector NOT NULL
        );
        CREATE INDEX index_text_words ON index_text USING gin (words);
    END IF;
END $$
"""
ADD = text("INSERT INTO index_text (key, words) VALUES (:key, to_tsvector('medical_kg', :words))")
RANKED = (
    text(
        """
    WITH asked AS (SELECT DISTINCT plainto_tsquery('medical_kg', word) AS query FROM unnest(CAST(:words AS text[])) word),
    found AS (
        SELECT query, key, ts_rank(words, query, 1) AS rank FROM asked JOIN index_text ON words @@ query
    ),
    rare AS (
        SELECT query, ln(1 + ((SELECT count(*) FROM index_text) - count(*) + 0.5) / (count(*) + 0.5)) AS weight
        FROM found GROUP BY query
    )
    SELECT key, sum(rank::numeric * weight) AS score FROM found JOIN rare USING (query) GROUP BY key
    """
    )
    .columns(column("key", BigInteger), column("score", Numeric))
    .subquery("ranked")
)
MATCH = select(RANKED.c.key, RANKED.c.score).order_by(RANKED.c.score.desc(), RANKED.c.key).limit(bindparam("limit"))


class TsVector:
    """See ``FullText``."""

    def create(self, connection: Connection) -> None:
        """Make the table, and the way its words are stemmed."""
        connection.exec_driver_sql(CREATE)

    def add(self, connection: Connection, roots: Mapping[str, RootRows]) -> None:
        """Keep the words of these roots' chunks."""
        if given := [row for rows in roots.values() for row in _rows(rows)]:
            connection.execute(ADD, sorted(given, key=lambda row: row["key"]))

    def drop(self, connection: Connection, roots: Sequence[str]) -> None:
        """Do nothing: words go with their chunks."""

    def purge(self, connection: Connection) -> None:
        """Do nothing: no words are kept apart from their row."""

    def find(
        self, connection: Connection, words: Sequence[str], limit: int, keys: Select[tuple[int]] | None = None
    ) -> list[Scored]:
        """Return the best by the weighted sum of their ranks; how rare a word is does not depend on the filter."""
        asked = [part for word in words for part in folded(word).split()]
        query = MATCH if keys is None else MATCH.where(RANKED.c.key.in_(keys))
        found = connection.execute(query, {"words": asked, "limit": limit})
        return [Scored(key, float(score)) for key, score in found]


def _rows(rows: RootRows) -> Iterator[dict[str, int | str]]:
    for chunk in rows.chunks.values():
        title = rows.documents[chunk.document][0].title
        yield {"key": chunk_key(chunk.root, chunk.id), "words": folded(f"{title} {chunk.section} {chunk.text}")}


def folded(words: str) -> str:
    """Return the words of a text, case folded and without accents, with single spaces between them."""
    whole = unicodedata.normalize("NFKD", words.casefold())
    return " ".join(LETTERS.findall("".join(letter for letter in whole if not unicodedata.combining(letter))))
