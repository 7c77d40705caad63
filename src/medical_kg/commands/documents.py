"""``medical-kg documents``: shows what the index holds of a document."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.commands.contract import context_of
from medical_kg.commands.passages import other_records
from medical_kg.documents.ir import identifiers_like
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medical_kg.documents.ir import Document, Section
    from medical_kg.stores.contract import IndexStore

app = typer.Typer(help="Look at indexed documents.")


@app.callback()
def documents() -> None:
    """Look at indexed documents."""


@app.command(
    epilog=examples("medical-kg documents show nct:NCT05813925", "medical-kg documents show NCT05813925 --json")
)
def show(
    ctx: typer.Context,
    ident: Annotated[str, typer.Argument(metavar="ID", help="The document's id or any identifier, e.g. pmid:123.")],
    store: Annotated[str, typer.Option(help="The store that holds the index.")] = "database",
    tenant: Annotated[str, typer.Option(help="Whose index.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the whole text.")] = False,  # noqa: FBT002  # typer's form of a flag
) -> None:
    """Show a document: title, identifiers, sections, where it came from, and how many chunks it has."""
    context = context_of(ctx)
    context.json = context.json or as_json
    opened = context.plugins.get("medical_kg.stores", store)(context.workspace_of(tenant).database_url).index()
    with closing(opened) as index:
        document = find(index, ident)
        chunks = len(index.chunks(document.id))
        others = other_records(index, document.id)
    if context.json:
        about = {**document.model_dump(mode="json"), "chunks": chunks, "same_work": others}
        typer.echo(json.dumps(about, ensure_ascii=False, indent=2))
        return
    for line in _lines(document, chunks, others):
        typer.echo(line)


def find(index: IndexStore, ident: str) -> Document:
    """Return the document of this id or identifier, also when its prefix was left out.

    Raises:
        UsageError: the index has no such document.
    """
    for name in identifiers_like(ident):
        if document := index.document(name):
            return document
    there = index.counts()["documents"]
    msg = f"no document {ident!r} in the index, which holds {there}; look for it with: medical-kg search WORDS --kind text"
    raise UsageError(msg)


def _lines(document: Document, chunks: int, others: Sequence[str]) -> Iterator[str]:
    yield document.title or document.id
    origin = document.provenance
    facts: dict[str, Any] = {
        "id": document.id,
        "kind": document.kind,
        "identifiers": ", ".join(document.identifiers),
        "also as": ", ".join(others),
        "published": document.published,
        "language": document.language,
        "source": origin.source,
        "file": " ".join(part for part in (origin.uri, origin.record) if part),
        "format": origin.format,
        "sha256": origin.sha256,
        "text": f"{len(document.text):,} characters",
        "facts": len(document.facts),
        "chunks": chunks,
    }
    yield from (f"  {name + ':':<13}{value}" for name, value in facts.items() if value != "")
    yield f"  {'sections:':<13}{len(document.sections)}"
    yield from (f"    {_section(section)}" for section in document.sections)


def _section(section: Section) -> str:
    size = section.blocks[-1].end - section.blocks[0].start if section.blocks else 0
    name = " > ".join((*section.path, section.title or "(untitled)"))
    return f"{name} — {len(section.blocks)} block{'s' if len(section.blocks) != 1 else ''}, {size:,} characters"
