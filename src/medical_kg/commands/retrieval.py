"""``medical-kg evaluate retrieval``: measures how well a pipeline's index finds what people judged relevant."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.commands.contract import context_of
from medical_kg.commands.search import Kind, matching_embedder, ranked
from medical_kg.orchestration.contract.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from medical_kg.commands.contract import CommandContext
    from medical_kg.documents.ir import Document
    from medical_kg.evaluation.retrieval import Figures
    from medical_kg.stores.contract import IndexStore, Store

DEPTH = 50
"""How many documents are ranked for each query."""


def retrieval(  # one argument per option
    ctx: typer.Context,
    queries: Annotated[Path, typer.Argument(metavar="QUERIES", help="JSON lines with _id and text, or id<TAB>text.")],
    qrels: Annotated[Path, typer.Argument(metavar="QRELS", help="Lines of query, document, grade; or TREC's form.")],
    *,
    pipeline: Annotated[str, typer.Option(help="A pipeline that gives chunks and embeddings, by name or path.")],
    given: Annotated[str, typer.Option("--input", metavar="INPUT", help="The documents: what the pipeline reads.")],
    store: Annotated[str, typer.Option(help="The store whose index is measured.")] = "database",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the rank of every query.")] = False,
) -> None:
    """Measure search: recall, reciprocal rank and nDCG by words, by vectors, and with both fused.

    Chunks and vectors of the pipeline go into an index of their own, which is deleted; nothing of the run is kept.
    """
    from medical_kg.evaluation.retrieval import parse_qrels, parse_queries, score

    context = context_of(ctx)
    context.json = context.json or as_json
    asked, judged = _read(queries, parse_queries), _read(qrels, parse_qrels)
    if not (wanted := {ident: text for ident, text in asked.items() if _has_relevant(judged.get(ident, {}))}):
        raise InputError(f"no query of {queries} has a document in {qrels} that is judged relevant")
    found = context.run_in_memory(pipeline, given, ["documents", "chunks", "embeddings"])
    names = known_as(found["documents"], judged)
    with tempfile.TemporaryDirectory(prefix="medical-kg-") as folder:
        made: Store = context.plugins.get("medical_kg.stores", store)(f"sqlite:///{Path(folder) / 'index.db'}")
        with closing(made.index()) as index:
            index.replace(found["documents"], found["chunks"], found["embeddings"], version=0)
            rankings = rank_all(context, index, wanted)
    figures = {
        kind: score(
            {ident: judged[ident] for ident in wanted},
            {ident: list(dict.fromkeys(names.get(one, one) for one in some)) for ident, some in rankings[kind].items()},
        )
        for kind in rankings
    }
    missing = {one for ident in wanted for one, grade in judged[ident].items() if grade > 0} - set(names.values())
    if context.json:
        typer.echo(json.dumps(as_data(figures, len(found["documents"]), missing), ensure_ascii=False, indent=2))
        return
    for line in report(figures, len(found["documents"]), missing):
        typer.echo(line)


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    from medical_kg.evaluation.retrieval import WrongFile

    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, WrongFile) as error:
        raise InputError(f"{path} cannot be used: {error}") from None


def _has_relevant(grades: Mapping[str, int]) -> bool:
    return any(grade > 0 for grade in grades.values())


def known_as(documents: Sequence[Document], judged: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return by document id the name that the judgements use: the id, an identifier, or one of them without its prefix."""
    used = {name for grades in judged.values() for name in grades}
    names: dict[str, str] = {}
    for document in documents:
        own = dict.fromkeys((document.id, *document.identifiers))
        bare = [one.partition(":")[2] for one in own]
        if name := next((one for one in (*own, *bare) if one in used), None):
            names[document.id] = name
    return names


def rank_all(context: CommandContext, index: IndexStore, queries: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    """Return by kind of search and query the documents, best first, each where its best chunk stands.

    Raises:
        UsageError: the index has no vectors, or nothing installed makes vectors like them.
    """
    identity = index.embedder()
    if identity is None:
        raise UsageError("the pipeline gave no vector, so there is nothing to measure; is its input the right one?")
    embedder = matching_embedder(context, identity)
    vectors = {ident: embedder.embed_query(text) for ident, text in queries.items()}
    return {
        kind.value: {
            ident: [hit.document for hit in ranked(index, text, vectors[ident], limit=DEPTH, kind=kind, per_document=1)]
            for ident, text in queries.items()
        }
        for kind in (Kind.text, Kind.vector, Kind.hybrid)
    }


def report(figures: Mapping[str, Figures], documents: int, missing: set[str]) -> Iterator[str]:
    """Give the lines that a person reads."""
    first = next(iter(figures.values()))
    yield f"{documents} documents, {len(first.first)} queries"
    yield ""
    yield f"{'search':<8}" + "".join(f"{f'recall@{cut}':>11}" for cut in first.recall) + f"{'MRR':>9}{'nDCG@10':>9}"
    for kind, one in figures.items():
        recall = "".join(f"{value:>11.3f}" for value in one.recall.values())
        yield f"{kind:<8}{recall}{one.mrr:>9.3f}{one.ndcg:>9.3f}"
    if missing:
        shown = ", ".join(sorted(missing)[:5])
        yield ""
        yield f"not in the index, so never found: {len(missing)} relevant documents ({shown}{' …' * (len(missing) > 5)})"  # noqa: PLR2004  # as many as are shown


def as_data(figures: Mapping[str, Figures], documents: int, missing: set[str]) -> dict[str, Any]:
    """Return the same for a program."""
    return {
        "documents": documents,
        "not_in_the_index": sorted(missing),
        "search": {
            kind: {
                **{f"recall@{cut}": value for cut, value in one.recall.items()},
                "mrr": one.mrr,
                "ndcg@10": one.ndcg,
                "first_rank": dict(one.first),
            }
            for kind, one in figures.items()
        },
    }
