"""``submissions report``: a submission's pipeline, figures, dead letters, documents and provenance on one page."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from medical_kg.cli.output import counts, moment, number, plural, seconds
from medical_kg.cli.page.documents import MOST, Listing, addresses, listing
from medical_kg.cli.page.flow import Edge, picture
from medical_kg.cli.page.markup import Html, joined, link, table, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from medical_kg.cli.page.markup import Part
    from medical_kg.orchestration.api import Report
    from medical_kg.orchestration.ledger.contract import DeadLetter, StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

LETTERS = 1000
"""How many dead letters are listed."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may load for the page: nothing."""


def submission_page(workspace: Workspace, ident: str) -> str:
    """Return the page of a submission.

    Raises:
        RecordNotFound: there is no such submission.
    """
    from medical_kg.orchestration import api
    from medical_kg.orchestration.traces.keys import Pipelines

    report = api.report(workspace, ident)
    pipelines = Pipelines(workspace)
    plan = pipelines.plan(report.submission)
    results = [workspace.ledger.results(batch.id) for batch in report.batches]
    found = [one for records in results for one in records.values()]
    names = [stage.name for stage in plan.stages] if plan else []
    names += [total.stage for total in report.stages if total.stage not in names]
    documents = listing(workspace, pipelines, report.submission, results, names)
    letters = workspace.ledger.dead_letters(report.submission.id)
    sections = [
        _head(report, documents),
        _flow(plan, names, report),
        _errors(report),
        _stages(names, report),
        _letters(letters, documents),
        _documents(documents),
        _batches(report, found),
        _provenance(report, found),
        _foot(workspace),
    ]
    return _whole(f"{report.submission.pipeline}: {report.submission.status}", sections)


def _whole(title: str, sections: Sequence[Html]) -> str:
    style = resources.files("medical_kg.cli.page").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *sections)), lang='en')}\n"


def _section(title: str, *parts: Part, ident: str) -> Html:
    return tag("section", tag("h2", title), *parts, id=ident)


def _head(report: Report, documents: Listing) -> Html:
    one = report.submission
    asked = ", ".join(f"{name}={value}" for name, value in {**one.input, **one.overrides}.items())
    figures = [
        (number(documents.total), "documents"),
        (number(report.dead_letters), "dead letters"),
        (number(len(report.batches)), "batch" if len(report.batches) == 1 else "batches"),
        (seconds(sum(total.duration for total in report.stages)), "seconds in stages"),
    ]
    return tag(
        "header",
        tag("h1", one.pipeline, " ", tag("span", one.status, class_=f"status {one.status}")),
        tag("p", asked or "no input", class_="asked"),
        tag(
            "p",
            f"submission {one.id}, created {moment(one.created_at)} by {one.actor}, updated {moment(one.updated_at)}",
        ),
        tag("ul", *(tag("li", tag("b", figure), " ", what) for figure, what in figures), class_="figures"),
    )


def _flow(plan: Plan | None, names: list[str], report: Report) -> Html:
    from medical_kg.orchestration.pipeline.graph import edges

    totals = {total.stage: total for total in report.stages}
    drawn = [Edge(*edge) for edge in edges(plan)] if plan else []
    missing = "The pipeline's file is gone or cannot be used now, so what flows between its stages is not known."
    return _section("Pipeline", picture(names, drawn, totals), None if plan else tag("p", missing), ident="pipeline")


def _errors(report: Report) -> Html:
    if not report.errors:
        return Html("")
    return _section(
        "Errors", tag("ul", *(tag("li", error) for error in report.errors), class_="errors"), ident="errors"
    )


def _stages(names: list[str], report: Report) -> Html:
    totals = {total.stage: total for total in report.stages}
    whole = sum(total.duration for total in report.stages)
    rows: list[tuple[Part, ...]] = []
    for name in names:
        total = totals.get(name)
        shown = tag("span", name, id=f"stage-{name}")
        if total is None:
            rows.append((shown, "", "not begun", "", "", "", "", ""))
            continue
        share = f"{total.duration / whole:.0%}" if whole else ""
        status = tag("span", total.status, class_=f"status {total.status}")
        figures = (number(total.dead_letters), number(total.retries), seconds(total.duration), share)
        rows.append((shown, total.stage_type, status, counts(total.counts), *figures))
    columns = ("stage", "type", "status", "counts", "dead letters", "retries", "seconds", "share")
    return _section("Stages", table(columns, rows, right=columns[4:]), ident="stages")


def _letters(letters: Sequence[DeadLetter], documents: Listing) -> Html:
    if not letters:
        return _section("Dead letters", tag("p", "None: every item was processed."), ident="dead-letters")
    known = documents.anchors
    rows = [
        (
            one.stage,
            _item(one, known),
            _reason(one),
            one.attempts,
            tag("span", one.status, class_=f"status {one.status}"),
        )
        for one in letters[:LETTERS]
    ]
    more = f"The first {number(LETTERS)} of {number(len(letters))}." if len(letters) > LETTERS else None
    columns = ("stage", "item", "reason", "attempts", "status")
    return _section("Dead letters", table(columns, rows, right=("attempts",)), more, ident="dead-letters")


def _item(letter: DeadLetter, known: Mapping[str, str]) -> Html:
    shown = tag("code", letter.item_id)
    anchor = known.get(letter.root or "")
    return tag("a", shown, href=f"#{anchor}") if anchor else shown


def _reason(letter: DeadLetter) -> Html:
    told = tag("span", tag("b", letter.error), ": ", letter.message)
    if not letter.traceback:
        return told
    return joined((told, tag("details", tag("summary", "traceback"), tag("pre", letter.traceback))))


def _documents(found: Listing) -> Html:
    if not found.total:
        return Html("")
    rows = [
        (
            tag("span", one.title or one.id, id=f"document-{line}"),
            one.kind,
            one.published,
            joined(_spaced(link(address, words) for address, words in addresses(one))),
            " ".join(filter(None, (one.provenance.record, one.provenance.format))),
        )
        for line, one in enumerate(found.documents, 1)
    ]
    told = (
        f"The first {number(MOST)} of {plural(found.total, 'document')}." if found.total > len(rows) >= MOST else None
    )
    unread = [tag("p", f"Not read: {problem}", class_="failed") for problem in found.problems]
    columns = ("document", "kind", "published", "where", "record")
    return _section("Documents", table(columns, rows), told, *unread, ident="documents")


def _spaced(parts: Iterable[Html]) -> Iterator[Html]:
    for part in parts:
        yield from (part, tag("br"))


def _batches(report: Report, found: Sequence[StageRecord]) -> Html:
    rows = []
    for batch in report.batches:
        mine = [record for record in found if record.batch_id == batch.id]
        figures = (number(sum(one.dead_letters for one in mine)), number(sum(one.retries for one in mine)))
        status = tag("span", batch.status, class_=f"status {batch.status}")
        rows.append((batch.ordinal, status, moment(batch.updated_at), *figures, batch.run_id or ""))
    columns = ("batch", "status", "updated", "dead letters", "retries", "Dagster run")
    return _section("Batches", table(columns, rows, right=("batch", "dead letters", "retries")), ident="batches")


def _provenance(report: Report, found: Sequence[StageRecord]) -> Html:
    origins: dict[tuple[str, ...], None] = {}
    for record in found:
        words = [record.origin.get(name, "") for name in ("distribution", "version", "object", "file")]
        origins[(record.stage, *words)] = None
    one = report.submission
    said = [
        ("pipeline", f"{one.pipeline} {one.pipeline_version}"),
        ("file", one.pipeline_path),
        ("sha256", one.pipeline_digest),
        ("tenant", one.tenant),
    ]
    facts = tag("dl", *(joined((tag("dt", name), tag("dd", value))) for name, value in said))
    columns = ("stage", "distribution", "version", "object", "file")
    return _section("Provenance", facts, table(columns, origins), ident="provenance")


def _foot(workspace: Workspace) -> Html:
    from importlib.metadata import version

    return tag("footer", f"Made {moment(workspace.clock.now())} by medical-kg {version('medical-kg')}.")
