"""``medical-kg search``: finds passages in the index."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.commands.contract import context_of
from medical_kg.orchestration.contract.errors import MedicalKGError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from rich.console import Console
    from rich.text import Text

    from medical_kg.commands.contract import CommandContext
    from medical_kg.documents.records import EmbedderIdentity
    from medical_kg.embedders.contract import Embedder
    from medical_kg.stores.contract import Hit, IndexStore

EMBEDDERS = "medical_kg.embedders"
SNIPPET = 240
"""How many characters of a passage are shown."""
MORE = 4
"""How many times as many passages are asked for as are shown, since some may be of one document."""

app = typer.Typer()


class Kind(StrEnum):
    """How to search: by words, by vectors, or both fused."""

    hybrid = "hybrid"
    text = "text"
    vector = "vector"


@app.command()
def search(
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(help="What to look for, in plain words.")],
    limit: Annotated[int, typer.Option(min=1, help="How many passages to show.")] = 10,
    per_document: Annotated[int, typer.Option(min=0, help="At most this many of one document; 0 for all.")] = 2,
    kind: Annotated[Kind, typer.Option(help="By words, by vectors, or both.")] = Kind.hybrid,
    store: Annotated[str, typer.Option(help="The store that holds the index.")] = "database",
    tenant: Annotated[str, typer.Option(help="Whose index.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # typer's form of a flag
) -> None:
    """Find passages in the indexed documents."""
    context = context_of(ctx)
    context.json = context.json or as_json
    query = " ".join(text)
    opened = context.plugins.get("medical_kg.stores", store)(context.workspace_of(tenant).database_url).index()
    with closing(opened) as index:
        hits = find(context, index, query, limit=limit, kind=kind, per_document=per_document)
    if context.json:
        typer.echo(json.dumps([hit.model_dump() for hit in hits], ensure_ascii=False, indent=2))
    else:
        _show(context.console, query, hits)


def find(
    context: CommandContext, index: IndexStore, query: str, *, limit: int, kind: str, per_document: int = 0
) -> list[Hit]:
    """Search with the embedder the index was made with; an index without vectors is searched by words, and that is said.

    Raises:
        UsageError: vectors are asked for and there are none, or nothing installed makes vectors like the index's.
    """
    kind, vector = _means(context, index, query, kind)
    size = limit * MORE if per_document else limit
    while True:
        hits = index.search(query, vector, limit=size, kind=kind)
        kept = spread(hits, per_document)[:limit]
        if len(kept) == limit or len(hits) < size:
            return kept
        size *= MORE


def spread(hits: list[Hit], per_document: int) -> list[Hit]:
    """Return at most so many hits of each document (0 for all), the best ones, in the same order."""
    seen: Counter[str] = Counter()
    kept: list[Hit] = []
    for hit in hits:
        seen[hit.document] += 1
        if not per_document or seen[hit.document] <= per_document:
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
    settings = context.workspace.settings("embedders")
    there: list[str] = []
    for name in context.plugins.names(EMBEDDERS):
        try:
            embedder: Embedder = context.plugins.get(EMBEDDERS, name)(settings.get(name))
        except MedicalKGError as error:
            there.append(f"{name} (unusable: {error})")
            continue
        if embedder.identity == identity:
            return embedder
        there.append(f"{name} ({_told(embedder.identity)})")
    msg = (
        f"the index was made with {_told(identity)}; installed: {', '.join(there) or 'none'}. Install that embedder, set "
        f"its options under [embedders.NAME] in medical_kg.toml, or search with --kind text"
    )
    raise UsageError(msg)


def _told(identity: EmbedderIdentity) -> str:
    parts = (f"sha256 {identity.sha256[:12]}", f"{identity.dimension} dimensions", f"{identity.max_tokens} tokens")
    return f"{identity.model}, {', '.join(parts)}"


def _show(console: Console, query: str, hits: list[Hit]) -> None:
    if not hits:
        console.print("nothing found")
    for line in _lines(query, hits):
        console.print(line, highlight=False, soft_wrap=True)


def _lines(query: str, hits: list[Hit]) -> Iterator[Any]:
    from rich.text import Text

    for number, hit in enumerate(hits, 1):
        ranks = ", ".join(f"{name} {rank}" for name, rank in hit.ranks.items())
        yield Text.assemble(
            f"{number}. ", (hit.title or hit.document, "bold"), f"  {hit.document}  {hit.score:.4f} ({ranks})"
        )
        section = f"{hit.section}: " if hit.section else ""
        yield Text.assemble("   ", (section, "dim"), snippet(query, hit.text))


def snippet(query: str, passage: str, size: int = SNIPPET) -> Text:
    """Return the part of a passage around the query's first word in it, on one line, with the query's words in bold."""
    from rich.text import Text

    line = " ".join(passage.split())
    words = sorted({re.escape(word) for word in re.findall(r"\w{3,}", query)}, key=len, reverse=True)
    pattern = re.compile(rf"\b(?:{'|'.join(words)})", re.IGNORECASE) if words else None
    found = pattern.search(line) if pattern else None
    start = max(0, min(found.start() - size // 4, len(line) - size)) if found else 0
    start = line.rfind(" ", 0, start) + 1 if start else 0
    part = line[start : start + size].strip()
    text = Text(("… " if start else "") + part + (" …" if start + size < len(line) else ""))
    if pattern:
        text.highlight_regex(pattern, "bold")
    return text
