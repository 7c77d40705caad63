"""``medical-kg search``: finds passages in the index."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.commands.contract import context_of
from medical_kg.commands.passages import Passage, passage_of
from medical_kg.orchestration.contract.errors import MedicalKGError, UsageError
from medical_kg.orchestration.contract.usage import examples
from medical_kg.stores.contract import EVERYTHING, Filters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from rich.console import Console
    from rich.text import Text

    from medical_kg.commands.contract import CommandContext
    from medical_kg.documents.records import EmbedderIdentity
    from medical_kg.embedders.contract import Embedder
    from medical_kg.stores.contract import Hit, IndexStore, Store

EMBEDDERS = "medical_kg.embedders"
MORE = 4
"""How many times as many passages are asked for as are shown, since some may be of one document."""

LIKE = 3
"""How many concepts are offered where the one that was asked for is not there."""

app = typer.Typer()


class Kind(StrEnum):
    """How to search: by words, by vectors, or both fused."""

    hybrid = "hybrid"
    text = "text"
    vector = "vector"


PerDocument = Annotated[
    int, typer.Option(min=0, help="At most this many of one document, or of the records of one work; 0 for all.")
]


@app.command(
    epilog=examples(
        "medical-kg search kidney injury",
        'medical-kg search "kidney injury" --source pubmed --since 2015',
        "medical-kg search asthma --concept doid:2841 --kind text",
    )
)
def search(  # noqa: PLR0913  # one argument per option
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(metavar="WORDS", help="What to look for, in plain words.")],
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many passages to show.")] = 10,
    per_document: PerDocument = 2,
    kind: Annotated[Kind, typer.Option(help="By words, by vectors, or both.")] = Kind.hybrid,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Only of this source or format; may be repeated: any of them."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only documents of this type: trial, article, text; repeatable."),
    ] = None,
    since: Annotated[int | None, typer.Option(metavar="YEAR", help="Published in this year or later.")] = None,
    until: Annotated[int | None, typer.Option(metavar="YEAR", help="Published in this year or earlier.")] = None,
    concepts: Annotated[
        list[str] | None,
        typer.Option("--concept", metavar="ID", help="Only documents that speak of this; repeated: of all of them."),
    ] = None,
    store: Annotated[str, typer.Option(help="The store that holds the index.")] = "database",
    tenant: Annotated[str, typer.Option(help="Whose index.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find passages in the indexed documents."""
    context = context_of(ctx)
    context.json = context.json or as_json
    query = " ".join(text)
    if since is not None and until is not None and since > until:
        raise UsageError(f"--since {since} is after --until {until}: no year is between them")
    made: Store = context.plugins.get("medical_kg.stores", store)(context.workspace_of(tenant).database_url)
    filters = Filters(
        sources=tuple(sources or ()),
        kinds=tuple(types or ()),
        since=since,
        until=until,
        roots=speaking_of(made, concepts) if concepts else None,
    )
    with closing(made.index()) as index:
        hits = find(context, index, query, limit=limit, kind=kind, per_document=per_document, filters=filters)
        passages = [passage_of(index, hit) for hit in hits]
    if context.json:
        typer.echo(json.dumps([one.as_data() for one in passages], ensure_ascii=False, indent=2))
    else:
        _show(context.console, passages)


def find(
    context: CommandContext,
    index: IndexStore,
    query: str,
    *,
    limit: int,
    kind: str,
    per_document: int = 0,
    filters: Filters = EVERYTHING,
) -> list[Hit]:
    """Search with the embedder the index was made with; an index without vectors is searched by words, and that is said.

    Raises:
        UsageError: vectors are asked for and there are none, or nothing installed makes vectors like the index's.
    """
    kind, vector = _means(context, index, query, kind)
    return ranked(index, query, vector, limit=limit, kind=kind, per_document=per_document, filters=filters)


def ranked(
    index: IndexStore,
    query: str,
    vector: np.ndarray | None,
    *,
    limit: int,
    kind: str,
    per_document: int,
    filters: Filters = EVERYTHING,
) -> list[Hit]:
    """Return the best hits of which at most ``per_document`` are of one document, or records of one work (0 for all)."""
    size = limit * MORE if per_document else limit
    while True:
        hits = index.search(query, vector, limit=size, kind=kind, filters=filters)
        works = index.same_work(hit.document for hit in hits) if per_document else {}
        kept = spread(hits, per_document, works)[:limit]
        if len(kept) == limit or len(hits) < size:
            return kept
        size *= MORE


def speaking_of(store: Store, concepts: list[str]) -> frozenset[str]:
    """Return the roots that speak of all of these concepts, as the graph has them.

    Raises:
        UsageError: the graph knows one of them not; concepts with a like name are offered.
    """
    with closing(store.graph()) as graph:
        found = {one: graph.roots(one) for one in concepts}
        for one in concepts:
            if not found[one]:
                like = ", ".join(f"{node.id} ({node.name})" for node in graph.find(one, limit=LIKE))
                advice = f"do you mean {like}?" if like else "look for it with: medical-kg graph show WORDS"
                raise UsageError(f"no document in the graph speaks of a concept with the id {one!r}; {advice}")
    return frozenset.intersection(*found.values())


def spread(hits: list[Hit], per_document: int, works: Mapping[str, tuple[str, ...]]) -> list[Hit]:
    """Return at most so many hits of each work (0 for all), the best ones, in the same order."""
    seen: Counter[str] = Counter()
    kept: list[Hit] = []
    for hit in hits:
        work = works.get(hit.document, (hit.document,))[0]
        seen[work] += 1
        if not per_document or seen[work] <= per_document:
            kept.append(hit)
    return kept


def _means(context: CommandContext, index: IndexStore, query: str, kind: str) -> tuple[str, np.ndarray | None]:
    """Return how the index is searched, and the query's vector where that takes one."""
    if kind == Kind.text:
        return kind, None
    identity = index.embedder()
    if identity is not None:
        return kind, matching_embedder(context, identity).embed_query(query)
    if kind == Kind.vector:
        msg = "the index has no vectors; run a pipeline with an embed stage, or search with --kind text"
        raise UsageError(msg)
    if not context.json:  # there the ranks tell it
        typer.echo("the index has no vectors: searching by words only", err=True)
    return Kind.text, None


def matching_embedder(context: CommandContext, identity: EmbedderIdentity) -> Embedder:
    """Return the installed embedder that made the index's vectors.

    An embedder's options are those of the table ``[embedders.NAME]`` in ``medical_kg.toml``, as far as it is there.

    Raises:
        UsageError: none has this identity; the message says which is needed and what there is.
    """
    settings = _settings(context)
    there: list[str] = []
    for name in context.plugins.names(EMBEDDERS):
        try:
            embedder: Embedder = context.plugins.get(EMBEDDERS, name)(settings.get(name))
            embedder.connect(context.http)
            found = embedder.identity
        except MedicalKGError as error:
            there.append(f"{name} (unusable: {error})")
            continue
        if found == identity:
            return embedder
        there.append(f"{name} ({_told(found)})")
    msg = (
        f"the index was made with {_told(identity)}; installed: {', '.join(there) or 'none'}. Install that embedder, set "
        f"its options under [embedders.NAME] in medical_kg.toml, or search with --kind text"
    )
    raise UsageError(msg)


def _settings(context: CommandContext) -> Mapping[str, Any]:
    try:
        return context.workspace.settings("embedders")
    except UsageError:  # there is no workspace, so there are no settings
        return {}


def _told(identity: EmbedderIdentity) -> str:
    parts = (f"sha256 {identity.sha256[:12]}", f"{identity.dimension} dimensions", f"{identity.max_tokens} tokens")
    return f"{identity.model}, {', '.join(parts)}"


def _show(console: Console, passages: list[Passage]) -> None:
    if not passages:
        console.print("nothing found")
    for line in _lines(passages):
        console.print(line, highlight=False, soft_wrap=True)


def _lines(passages: list[Passage]) -> Iterator[Text]:
    from rich.text import Text

    for number, (hit, place, snippet, others) in enumerate(passages, 1):
        ranks = ", ".join(f"{name} {rank}" for name, rank in hit.ranks.items())
        yield Text.assemble(
            f"{number}. ", (hit.title or hit.document, "bold"), f"  {hit.document}  {hit.score:.4f} ({ranks})"
        )
        yield Text(f"   {place}", "dim")
        if others:
            yield Text(f"   also as {', '.join(others)}", "dim")
        yield Text.assemble("   ", snippet.styled())
