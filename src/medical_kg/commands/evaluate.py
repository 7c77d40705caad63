"""``medical-kg evaluate``: measures a pipeline of ordinary stages against what people annotated."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.commands.contract import context_of
from medical_kg.commands.retrieval import retrieval
from medical_kg.orchestration.contract.errors import InputError, UsageError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.pubtator import Record
    from medical_kg.evaluation.entities import Scores

app = typer.Typer(name="evaluate", help="Measure a pipeline against what people judged.", no_args_is_help=True)
app.command(
    "retrieval", epilog=examples("medical-kg evaluate retrieval q.jsonl qrels.tsv --input docs --pipeline auto")
)(retrieval)


@app.callback()
def evaluate() -> None:
    """Measure a pipeline against what people judged."""


@app.command(epilog=examples("medical-kg evaluate entities gold.txt --pipeline concepts.yaml --errors 9"))
def entities(  # one argument per option
    ctx: typer.Context,
    gold: Annotated[Path, typer.Argument(metavar="FILE", help="A PubTator file with annotations.")],
    *,
    pipeline: Annotated[str, typer.Option(help="A pipeline that gives entities, by name or path.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE=KIND", help="Measure an annotated type as this kind.")
    ] = None,
    errors: Annotated[int, typer.Option(min=0, help="Show so many errors of each kind, with context.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every error.")] = False,
) -> None:
    """Measure found entities: precision, recall and F1 of strict spans, and of the concepts of documents.

    The pipeline reads the file itself (its annotations are not shown to it); nothing of the run is kept.
    """
    from medical_kg.evaluation.entities import KINDS, score

    context = context_of(ctx)
    context.json = context.json or as_json
    records = read_gold(gold)
    began = time.process_time()
    found = context.run_in_memory(pipeline, str(gold), ["entities"])["entities"]
    seconds = time.process_time() - began
    scores = score(records, found, {**KINDS, **dict(map(_pair, types or ()))})
    if context.json:
        typer.echo(json.dumps(as_data(scores, seconds), ensure_ascii=False, indent=2))
        return
    for line in report(scores, seconds, errors):
        typer.echo(line)


def read_gold(path: Path) -> list[Record]:
    """Return the annotated citations of a file.

    Raises:
        InputError: it cannot be read, is not PubTator's format, or holds no annotation.
    """
    from medical_kg.documents import pubtator

    try:
        text = path.read_text(encoding="utf-8-sig")
        found = [pubtator.record(lines, first) for first, lines in pubtator.records(text.splitlines())]
    except (OSError, UnicodeDecodeError, pubtator.WrongRecord) as error:
        raise InputError(f"{path} is no PubTator file that can be read: {error}") from None
    if not any(one.annotations for one in found):
        raise InputError(f"{path} holds no annotation to measure against")
    return found


def report(scores: Scores, seconds: float, shown: int) -> Iterator[str]:
    """Give the lines that a person reads."""
    yield f"{scores.documents} documents in {seconds:.1f} CPU-seconds, start included"
    for title, counts in (("strict spans", scores.spans), ("concepts of documents", scores.concepts)):
        yield ""
        yield f"{title:<24}precision  recall      F1"
        yield from (
            f"  {kind:<22}{one.precision:>9.3f}{one.recall:>8.3f}{one.f1:>8.3f}" for kind, one in counts.items()
        )
    if scores.left_out:
        named = ", ".join(f"{name} ({count})" for name, count in sorted(scores.left_out.items()))
        yield ""
        yield f"not measured: {named}; measure a type with --type TYPE=KIND"
    for error in ("false positive", "false negative") if shown else ():
        some = [one for one in scores.errors if one.error == error]
        yield ""
        yield f"{error}s, {min(shown, len(some))} of {len(some)}"
        yield from (f"  {one.document} {one.start}-{one.end} {one.kind}: …{one.context}…" for one in some[:shown])


def as_data(scores: Scores, seconds: float) -> dict[str, Any]:
    """Return the same for a program."""

    def figures(counts: Any) -> dict[str, Any]:
        return {**counts._asdict(), "precision": counts.precision, "recall": counts.recall, "f1": counts.f1}

    return {
        "documents": scores.documents,
        "cpu_seconds": round(seconds, 3),
        "spans": {kind: figures(one) for kind, one in scores.spans.items()},
        "concepts": {kind: figures(one) for kind, one in scores.concepts.items()},
        "not_measured": dict(scores.left_out),
        "errors": [one._asdict() for one in scores.errors],
    }


def _pair(given: str) -> tuple[str, str]:
    name, equals, kind = given.partition("=")
    if not (name and equals and kind):
        raise UsageError(f"--type takes TYPE=KIND, such as Disease=condition, not {given!r}")
    return name, kind
