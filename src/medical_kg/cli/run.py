"""``medical-kg run``: a pipeline over an input, until nothing is left that can be done now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from medical_kg.cli import completion
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration.api import Report
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage

EngineChoice = Annotated[
    Literal["dagster", "plain"],
    typer.Option(help="What schedules the stages; the history of dagster is in its UI."),
]
Workers = Annotated[
    int, typer.Option(min=1, metavar="N", help="Run so many batches at a time, each in a process of its own.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 4 when there are dead letters.")]
PLAN_COLUMNS = ("stage", "type", "reads", "policy", "config")


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "run",
        epilog=examples(
            "medical-kg run auto --input samples",
            "medical-kg run auto --input samples --limit 5 --set embed.embedder=hashing",
            "medical-kg run my-pipeline.yaml --input documents/ --workers 2",
            "medical-kg run auto --dry-run",
        ),
    )(run_pipeline)


def run_pipeline(  # noqa: PLR0913  # one argument per option
    ctx: typer.Context,
    pipeline: Annotated[
        str,
        typer.Argument(
            metavar="PIPELINE", help="A pipeline's name, or the path of its file.", autocompletion=completion.pipelines
        ),
    ],
    *,
    input: Annotated[  # noqa: A002  # the option's name
        str | None, typer.Option(metavar="PATH", help="What to process: a file or a folder.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take at most so many input records.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show the plan; touch nothing.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.FIELD=VALUE", help="Change a stage's config; may be repeated."),
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Process records that have not changed as well.")
    ] = False,
    max_removed: Annotated[
        str | None,
        typer.Option(metavar="N|N%", help="Remove at most so many records that are gone from the input; else none."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="last|TIME", help="Ask only for what was updated since the last reading, or a day or time."
        ),
    ] = None,
    engine: EngineChoice = "dagster",
    workers: Workers = 1,
    tenant: Annotated[str, typer.Option(help="Whose submission it is.")] = "default",
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run a pipeline over an input. The same input again goes on with what is unfinished, and skips what is unchanged."""
    state = state_of(ctx, json=json)
    overrides = parse_settings(settings or ())
    if dry_run:
        show_plan(state, load(state, pipeline, overrides))
        return
    asked = {"input": input, "limit": limit, "overrides": overrides, "tenant": tenant}
    asked |= {"full_refresh": full_refresh, "max_removed": max_removed, "since": since}
    report = submit(state, pipeline, engine=engine, workers=workers, **asked)
    from medical_kg.cli.report import finish

    raise typer.Exit(finish(state, report, strict=strict))


def load(state: State, pipeline: str, overrides: dict[str, Any]) -> Plan:
    """Return the plan of a pipeline; nothing is written."""
    from medical_kg.orchestration.pipeline.catalog import load_plan

    return load_plan(
        pipeline,
        installation=state.plugins,
        folders=state.place.pipeline_folders,
        overrides=overrides,
        environments=state.place.environments,
    )


def submit(
    state: State, pipeline: str, *, engine: Literal["dagster", "plain"], workers: int = 1, **asked: Any
) -> Report:
    """Run a pipeline with progress on standard error, and return how it stands.

    Arguments and errors are those of ``medical_kg.orchestration.api.submit``.
    """
    from medical_kg.orchestration.submissions import open_submission

    submission = open_submission(state.place, pipeline, **asked)
    return resume(state, submission.id, engine=engine, workers=workers)


def resume(state: State, submission_id: str, *, engine: Literal["dagster", "plain"], workers: int = 1) -> Report:
    """Go on with a submission with progress on standard error, and return how it stands."""
    from medical_kg.orchestration import api

    return _shown(state, submission_id, partial(api.resume, engine=engine, workers=workers))


def retry(state: State, submission_id: str, *, batch: str | None, engine: Literal["dagster", "plain"]) -> Report:
    """Run failed batches of a submission again with progress on standard error, and return how it stands."""
    from medical_kg.orchestration import api

    return _shown(state, submission_id, partial(api.retry, batch=batch, engine=engine))


def run_ready(state: State, submission_id: str, *, engine: Literal["dagster", "plain"]) -> Report:
    """Run the ready batches of a submission with progress on standard error, and return how it stands."""
    from medical_kg.orchestration import api

    return _shown(state, submission_id, partial(api.run_ready, engine=engine))


def _shown(state: State, submission_id: str, call: Callable[..., Report]) -> Report:
    from medical_kg.cli.progress import shown

    ident = state.place.ledger.submission(submission_id).id
    try:
        with shown(state) as events:
            return call(state.place, ident, events=events)
    except KeyboardInterrupt:
        state.note(f"\nnothing that was finished is lost; go on with: {state.command('submissions', 'resume', ident)}")
        raise


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return ``--set stage.field=value`` as a mapping; values are YAML.

    Raises:
        UsageError: one has another form.
    """
    from medical_kg.orchestration.pipeline.overrides import parse_override

    return dict(map(parse_override, settings))


def show_plan(state: State, plan: Plan) -> None:
    """Print what a run would do."""
    if state.json:
        state.print_json({"pipeline": plan.name, "version": plan.version, "stages": list(map(_plain, plan.stages))})
        return
    state.print(f"{plan.name} {plan.version}: {plan.description}")
    state.print(f"{plan.path}, batches of {plan.batch_size:,} items; nothing has been run")
    state.print()
    rows = [(s.name, s.type.name, _reads(s), s.policy_name, _config(s)) for s in plan.stages]
    state.print_table(PLAN_COLUMNS, rows)


def _plain(stage: PlannedStage) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "type": stage.type.name,
        "origin": str(stage.type.origin),
        "depends_on": list(stage.depends_on),
        "reads": {binding.key.name: list(binding.writers) for binding in stage.bindings},
        "writes": [key.name for key in stage.type.metadata.writes],
        "policy": {"name": stage.policy_name, **stage.policy.model_dump(mode="json")},
        "config": stage.config.model_dump(mode="json"),
        "conditions": list(stage.conditions),
    }


def _reads(stage: PlannedStage) -> str:
    reads = [f"{one.key.name} from {' + '.join(one.writers)}" for one in stage.bindings if one.writers]
    reads += [f"after {name}" for name in stage.order_only]
    return ", ".join(reads)


def _config(stage: PlannedStage) -> str:
    return ", ".join(f"{name}={value}" for name, value in stage.config.model_dump(mode="json").items())
