"""``medical-kg pipelines``: the pipelines that can be run, and whether they can."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from medical_kg.cli import completion
from medical_kg.cli.errors import DIFFERENT, WRONG_REQUEST
from medical_kg.cli.output import plural
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import PipelineNotFound
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.catalog import Catalog
    from medical_kg.orchestration.pipeline.problems import Problem

app = typer.Typer(help="List, check and draw pipelines.", no_args_is_help=True)

Named = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE", help="A pipeline's name, or the path of its file.", autocompletion=completion.pipelines
    ),
]


def catalog_of(state: State) -> Catalog:
    """Return the pipelines that can be named in the chosen workspace."""
    from medical_kg.orchestration.pipeline.catalog import Catalog

    return Catalog(state.place.pipeline_folders)


@app.command("list", epilog=examples("medical-kg pipelines list", "medical-kg pipelines list --json"))
def list_pipelines(ctx: typer.Context, *, json: Json = False) -> None:
    """List the pipelines that can be run by name."""
    state = state_of(ctx, json=json)
    entries = catalog_of(state).entries()
    if state.json:
        state.print_json(
            [
                {"name": e.name, "description": e.description(), "path": str(e.path), "shipped": e.shipped}
                for e in entries
            ]
        )
        return
    rows = [(e.name, e.description(), "shipped" if e.shipped else e.path) for e in entries]
    state.print_table(("name", "description", "from"), rows)


@app.command("check", epilog=examples("medical-kg pipelines check auto", "medical-kg pipelines check pipelines/*.yaml"))
def check_pipelines(
    ctx: typer.Context,
    pipelines: Annotated[
        list[str],
        typer.Argument(
            metavar="PIPELINE", help="Names of pipelines, or paths of their files.", autocompletion=completion.pipelines
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Print everything that is wrong with pipelines; warnings do not fail.

    Nothing is run and nothing is written.
    """
    state = state_of(ctx, json=json)
    verdicts = [_verdict(state, name) for name in pipelines]
    if state.json:
        state.print_json(verdicts if len(verdicts) > 1 else verdicts[0])
    if not all(verdict["ok"] for verdict in verdicts):
        _point_to_page(state, verdicts)
        raise typer.Exit(WRONG_REQUEST)


def _point_to_page(state: State, verdicts: list[dict[str, Any]]) -> None:
    found = (problem["code"] for verdict in verdicts for problem in verdict["problems"])
    if (code := next(found, None)) and not state.json:
        state.note(f"`{state.command('pipelines', 'explain', code)}` shows an example and its fix, as for any code")


@app.command("explain", epilog=examples("medical-kg pipelines explain MKG011"))
def explain_code(
    ctx: typer.Context,
    code: Annotated[
        str,
        typer.Argument(metavar="CODE", help="The code of a problem, such as MKG011.", autocompletion=completion.codes),
    ],
    *,
    json: Json = False,
) -> None:
    """Print what a code of `pipelines check` means: a wrong file, its message and the fix."""
    from medical_kg.orchestration.pipeline.pages import page

    state = state_of(ctx, json=json)
    text = page(code)
    if state.json:
        state.print_json({"code": code.strip().upper(), "page": text})
    else:
        state.print(text, end="")


def _verdict(state: State, name: str) -> dict[str, Any]:
    try:
        result = catalog_of(state).check(name, state.plugins, environments=state.place.environments)
    except PipelineNotFound as error:
        if not state.json:
            typer.echo(f"Error: {error}", err=True)
        return {"pipeline": name, "ok": False, "problems": [], "error": str(error)}
    if not state.json:
        for problem in result.problems:
            state.print(str(problem))
        state.print(f"{name}: {'ok' if result.ok else 'cannot run'}{_tally(result.problems)}")
    return {"pipeline": name, "ok": result.ok, "problems": [_plain(problem) for problem in result.problems]}


def _plain(problem: Problem) -> dict[str, Any]:
    return {"severity": problem.severity, **asdict(problem)}


def _tally(problems: tuple[Problem, ...]) -> str:
    severities = [problem.severity for problem in problems]
    found = [(severities.count(severity), severity) for severity in ("error", "warning")]
    listed = ", ".join(plural(count, severity) for count, severity in found if count)
    return f" ({listed})" if listed else ""


@app.command(
    "graph", epilog=examples("medical-kg pipelines graph auto", "medical-kg pipelines graph auto --format mermaid")
)
def draw_pipeline(
    ctx: typer.Context,
    pipeline: Named,
    *,
    form: Annotated[Literal["text", "mermaid", "dot"], typer.Option("--format", help="How to draw.")] = "text",
) -> None:
    """Draw how data flows through a pipeline."""
    from medical_kg.orchestration.pipeline.catalog import load_plan
    from medical_kg.orchestration.pipeline.graph import dot, mermaid, tree

    state = state_of(ctx)
    plan = load_plan(
        pipeline,
        installation=state.plugins,
        folders=state.place.pipeline_folders,
        environments=state.place.environments,
    )
    drawn = {"text": tree, "mermaid": mermaid, "dot": dot}[form](plan)
    if state.json:
        state.print_json({"pipeline": plan.name, "format": form, "graph": drawn})
    else:
        state.print(drawn, end="")


@app.command(
    "diff",
    epilog=examples(
        "medical-kg pipelines diff auto my-auto.yaml", "medical-kg pipelines diff old.yaml new.yaml --exit-code"
    ),
)
def diff_two(
    ctx: typer.Context,
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD", help="A pipeline's name, or the path of its file.", autocompletion=completion.pipelines
        ),
    ],
    new: Annotated[
        str,
        typer.Argument(
            metavar="NEW", help="The same, of the version to compare with.", autocompletion=completion.pipelines
        ),
    ],
    *,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 when they differ, as diff does.")] = False,
    json: Json = False,
) -> None:
    """Compare two versions of a pipeline: what differs, and what a batch in flight will run again.

    Nothing is run and nothing is written.
    """
    from medical_kg.cli.inspection import show_diff
    from medical_kg.orchestration.inspection.diff import diff_pipelines

    state = state_of(ctx, json=json)
    found = diff_pipelines(state.place, old, new)
    show_diff(state, found)
    if exit_code and not found.equal:
        raise typer.Exit(DIFFERENT)


@app.command("schema", epilog=examples("medical-kg pipelines schema"))
def print_schema(ctx: typer.Context) -> None:
    """Print the JSON schema of a pipeline file, with the config of every installed stage type, for your editor."""
    from medical_kg.orchestration.pipeline.catalog import shipped_folder
    from medical_kg.orchestration.pipeline.schema import schema

    state = state_of(ctx)
    policies = catalog_of(state).policies(shipped_folder() / "any.yaml").by_name
    state.print_json(schema(state.plugins.stages, state.plugins, policies, state.place.environments.names()))
