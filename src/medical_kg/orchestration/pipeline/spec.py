"""The fields of a pipeline file, old and new. Names, references and wiring are judged by the check, not here."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from medical_kg.orchestration.contract import Clause, Condition, NamedCondition, OnTimeout
from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.pipeline.plan import MAX_REMOVED

DEFAULT_BATCH_SIZE = 2000
PERCENT = re.compile(r"(100|[0-9]{1,2}(\.[0-9]+)?)%")

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)]


def is_count_or_percent(value: Any) -> bool:
    """Whether a limit can be read: a whole number from 0, or a percentage such as ``"5%"``."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return number or (isinstance(value, str) and PERCENT.fullmatch(value) is not None)


def _count_or_percent(value: Any) -> Any:
    if is_count_or_percent(value):
        return value
    msg = "must be a whole number from 0, or a percentage such as '5%'"
    raise ValueError(msg)


def _cron_alone(value: Any) -> Any:
    if isinstance(value, str):
        return {"cron": value}
    if isinstance(value, (dict, ScheduleSpec)):
        return value
    msg = "must be a cron line such as '0 3 * * *', or a mapping with `cron`"
    raise ValueError(msg)


def _empty_when_null(empty: type[Any]) -> BeforeValidator:
    # `config:` with everything below it commented out is null in YAML.
    return BeforeValidator(lambda value: empty() if value is None else value)


class StageSpec(Model):
    """A node of the pipeline."""

    name: Text = Field(description="The stage's name in this pipeline: letters, digits and underscores.")
    type: Text = Field(description="The stage type; `distribution:type` where two distributions claim the name.")
    policy: Text | None = Field(default=None, description="The resilience policy that guards each call.")
    environment: Text | None = Field(
        default=None,
        description="Run it in a worker process: `process`, or a table `[environments.NAME]` of medical_kg.toml.",
    )
    cache: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Keep the result of each item, and take it again wherever the same item comes to the same stage type and config.",
    )
    depends_on: Annotated[list[Text], _empty_when_null(list)] = Field(
        default_factory=list, description="The stages that must be done before this one."
    )
    config: Annotated[dict[str, Any], _empty_when_null(dict)] = Field(
        default_factory=dict, description="The stage type's own settings."
    )


class ConditionSpec(Model):
    """What is waited for: one signal (`field`, `equals`), or several `clauses` that must `all` or `any` hold."""

    field: Text | None = Field(default=None, description="The signal's name; `ledger.X` is another spelling of `X`.")
    equals: Any = Field(default=True, description="The value the signal must have.")
    mode: Literal["all", "any"] = Field(default="all", description="Whether all clauses must hold, or any.")
    clauses: Annotated[list[Clause], Field(min_length=1)] | None = Field(default=None, description="Several tests.")
    timeout_seconds: Seconds | None = Field(default=None, description="Longest wait, from the first; none: for ever.")
    poll_interval_seconds: Seconds | None = Field(default=None, description="Accepted; signals wake a batch at once.")

    @model_validator(mode="after")
    def _one_form(self) -> ConditionSpec:
        if (self.field is None) == (self.clauses is None):
            msg = "needs either `field` (with `equals`) or `clauses` (with `mode`)"
            raise ValueError(msg)
        stray = "equals" if self.field is None else "mode"
        if stray in self.model_fields_set:
            msg = f"`{stray}` does not go with `{'clauses' if self.field is None else 'field'}`"
            raise ValueError(msg)
        return self

    def condition(self) -> Condition:
        """Return the condition in the contract's form."""
        clauses = self.clauses or [Clause(field=str(self.field), value=self.equals)]
        return Condition(mode=self.mode, clauses=tuple(clauses))


class GateSpec(Model):
    """A named condition that config fields of type ``ConditionRef`` may point to."""

    name: Text = Field(description="What stages call this condition.")
    condition: ConditionSpec = Field(description="What is waited for.")
    resume_stage: Text | None = Field(default=None, description="A stage after the wait; checked, it does not steer.")
    on_timeout: OnTimeout = Field(default="fail", description="What happens when the time is up.")

    def named(self) -> NamedCondition:
        """Return the condition in the contract's form."""
        return NamedCondition(
            name=self.name,
            condition=self.condition.condition(),
            timeout_seconds=self.condition.timeout_seconds,
            on_timeout=self.on_timeout,
        )


class MetadataSpec(Model):
    """For people."""

    owner: str = Field(default="", description="Who looks after the pipeline.")
    description: str = Field(default="", description="What it is for, in one sentence.")
    tags: list[str] = Field(default_factory=list, description="Words to find it by.")


class TriggerSpec(Model):
    """A signal that starts the pipeline."""

    signal: Text = Field(description="The signal's name.")
    equals: Any = Field(default=True, description="The value it must have.")


class ScheduleSpec(Model):
    """When the pipeline runs by itself, and over what; a cron line alone stands for `{cron: ...}`."""

    cron: Text = Field(description="Minute, hour, day of month, month, day of week: `0 3 * * *` is every day at 3:00.")
    timezone: Text = Field(default="UTC", description="The time zone in which that is meant, such as Europe/Berlin.")
    input: Text | None = Field(
        default=None, description="What is processed, as of `run --input`: a URL, or a path relative to this file."
    )
    since: Text | None = Field(
        default=None, description="As of `run --since`: `last` asks only for what was updated since the last reading."
    )


class PipelineSpec(Model):
    """A pipeline file."""

    name: Text = Field(description="The pipeline's name.")
    version: Text = Field(description="The pipeline's version, usually a date in quotes.")
    applicable_sources: list[Text] = Field(default_factory=list, description="The kinds of source it is meant for.")
    metadata: MetadataSpec = Field(default=MetadataSpec(), description="For people.")
    stages: list[StageSpec] = Field(min_length=1, description="The nodes of the pipeline, in any order.")
    gates: Annotated[list[GateSpec], _empty_when_null(list)] = Field(
        default_factory=list, description="Named conditions that stages may wait for."
    )
    batch_size: int = Field(
        default=DEFAULT_BATCH_SIZE, strict=True, ge=1, le=1_000_000, description="Items that go through together."
    )
    max_failed_items: Annotated[int | str, BeforeValidator(_count_or_percent)] | None = Field(
        default=None,
        description="How many input records of a batch may fail before it fails, as a number or a percentage such as '5%'.",
    )
    max_removed_items: Annotated[int | str, BeforeValidator(_count_or_percent)] = Field(
        default=MAX_REMOVED,
        description="How many input records may be removed at once because they are gone from the source, as a number "
        "or a percentage of those seen before.",
    )
    schedule: Annotated[ScheduleSpec, BeforeValidator(_cron_alone)] | None = Field(
        default=None,
        description="When Dagster's daemon runs it by itself: a cron line in quotes, in UTC, or a mapping.",
    )
    triggers: list[TriggerSpec] = Field(default_factory=list, description="Signals that start it.")
