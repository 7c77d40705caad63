"""The command line's root: global options, built-in nouns, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medical_kg.cli import INTERRUPTED, demo, dev, documents, pipelines, plugins, run, submissions, workspace
from medical_kg.cli.errors import asked_before_parsing, tell
from medical_kg.cli.plugged import PluggedGroup
from medical_kg.cli.state import LogFormat, State, state_of
from medical_kg.orchestration.workspace import ENVIRONMENT


class Root(PluggedGroup):
    """The root group: whatever goes wrong below it becomes one message and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  # the signature of what it overrides
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002  # as above
        **extra: Any,
    ) -> Any:
        """Run the command line; it ends with SystemExit."""
        del standalone_mode
        json, verbose = asked_before_parsing(args)
        state = State(json=json, verbose=verbose)
        try:
            result = super().main(
                args,
                prog_name,
                complete_var,
                False,  # noqa: FBT003  # the signature of what is called
                windows_expand_args,
                **{"obj": state, **extra},
            )
        except (KeyboardInterrupt, typer.Abort):
            result = INTERRUPTED
        except Exception as error:  # noqa: BLE001  # the last line of defence: one message, never a bare traceback
            result = tell(error, state)
        finally:
            state.close()
        if result == INTERRUPTED:
            from medical_kg.orchestration.telemetry.logs import silence

            silence()
            typer.echo("interrupted", err=True)
        sys.exit(result if isinstance(result, int) else 0)


app = typer.Typer(
    cls=Root,
    name="medical-kg",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:  # noqa: FBT001  # the form of an option's callback
    if asked:
        from medical_kg import __version__

        typer.echo(f"medical-kg {__version__}")
        raise typer.Exit


@app.callback()
def medical_kg(
    ctx: typer.Context,
    *,
    workspace: Annotated[
        Path | None,
        typer.Option(metavar="PATH", envvar=ENVIRONMENT, help="The workspace's folder.  [default: .medical-kg]"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="How the log on standard error looks.")] = "text",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn biomedical documents into a search index and a knowledge graph, by declarative pipelines.

    Results go to standard output, progress and log to standard error. Start with `medical-kg demo`.
    """
    del version
    from medical_kg.orchestration.telemetry.logs import configure

    state = state_of(ctx, json=json, others_print=True)
    state.verbose, state.log_format, state.root = verbose, log_format, workspace
    configure(log_format, verbose=verbose)


demo.add_to(app)
run.add_to(app)
dev.add_to(app)
app.add_typer(pipelines.app, name="pipelines")
app.add_typer(submissions.app, name="submissions")
app.add_typer(documents.app, name=documents.NAME)
app.add_typer(plugins.app, name="plugins")
app.add_typer(workspace.app, name="workspace")
