"""Stage types made in code, for checking pipelines: named as in the files, but none of them does any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from medical_kg.orchestration.contract import (
    ConditionRef,
    NamedCondition,
    NoConfig,
    PluginName,
    Stage,
    StageMetadata,
    StateKey,
    optional,
)
from medical_kg.orchestration.pipeline.check import CheckResult, check
from medical_kg.orchestration.pipeline.policies import load_policies
from medical_kg.orchestration.registry import STAGES, Claim, Installation, Origin, Registry, StageType, accept_stage
from medical_kg.orchestration.resilience import Backoff, Policy, RateLimit

DATA = Path(__file__).parent / "data"
PLUGINS = "medical_kg.sources"


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Record(BaseModel):
    id: str


class Longer(Record):
    text: str


def key(name: str, type_: Any = None, **more: Any) -> StateKey[Any]:
    return StateKey(name, type_ or list[Record], id="id", **more)


PAYLOADS, FILES, DOCUMENTS, CHUNKS = key("payloads"), key("files"), key("documents"), key("chunks")
VECTORS, ENTITIES, CLAIMS = key("embeddings"), key("entities"), key("claims")
NOTES = key("notes", merge="append")


class IngestConfig(Config):
    adapter: Annotated[str, PluginName(PLUGINS)] = "auto"
    limit: int | None = Field(default=None, ge=1)


class GateConfig(Config):
    gate: ConditionRef | None = None


class Window(Config):
    size: int = Field(default=10, ge=1)
    overlap: int = 0


class ChunkConfig(Config):
    max_tokens: int = Field(default=100, ge=1, le=1000)
    window: Window = Window()
    windows: list[Window] = []
    label: str = ""


class MixConfig(Config):
    first: Annotated[str, PluginName(PLUGINS)] | None = None
    several: list[Annotated[str, PluginName(PLUGINS)]] = []
    named: dict[str, Annotated[str, PluginName(PLUGINS)]] = {}
    inner: IngestConfig | None = None
    waits: tuple[ConditionRef, ...] = ()


class RequiredConfig(Config):
    target: str
    size: int | list[int] = 1


class Revalidated(Config):
    low: int = 1
    high: int = 2


class Hostile(Config):
    mood: str = "calm"

    @field_validator("mood")
    @classmethod
    def _explode(cls, mood: str) -> str:
        if mood == "exit":
            raise SystemExit(3)
        if mood == "angry":
            msg = "no reason at all"
            raise RuntimeError(msg)
        return mood


def stage(
    name: str,
    reads: tuple[Any, ...] = (),
    writes: tuple[Any, ...] = (),
    mode: Any = "batch",
    config: type[BaseModel] = NoConfig,
    configure: Callable[..., Any] | None = None,
    **more: Any,
) -> type[Stage[Any]]:
    method = {"batch": "run", "item": "process", "stream": "pull"}[mode]
    metadata = StageMetadata(
        stage_type=name,
        version="1.0.0",
        description=f"The type {name}.",
        reads=reads,
        writes=writes,
        mode=mode,
        config_model=config,
        **more,
    )
    attributes: dict[str, Any] = {"metadata": metadata, method: lambda self, *args, **kwargs: None}
    if configure is not None:
        attributes["configure"] = classmethod(configure)
    return type(name.title().replace("-", ""), (Stage,), attributes)


def guess_gate(cls: Any, config: GateConfig, *, stage: str, conditions: Mapping[str, NamedCondition]) -> GateConfig:
    if config.gate is not None:
        return config
    wanted = stage.removeprefix("gate_")
    if wanted not in conditions:
        msg = f"cannot tell which condition stage {stage!r} waits for"
        raise ValueError(msg)
    return config.model_copy(update={"gate": wanted})  # plain text, as a plugin may well leave it


def crash(cls: Any, config: Any, **more: Any) -> Any:
    raise KeyError("lost")


def recurse(cls: Any, config: Any, **more: Any) -> Any:
    return recurse(cls, config, **more)


def order_bounds(cls: Any, config: Revalidated, **more: Any) -> Revalidated:
    return Revalidated.model_validate({"low": config.low, "high": "tall" if config.low > config.high else config.high})


TYPES = [
    stage("ingest", (), (PAYLOADS,), "stream", IngestConfig),
    stage("poll", (), (PAYLOADS,), "stream"),
    stage("download", (PAYLOADS,), (FILES,), "item"),
    stage("gate", config=GateConfig, configure=guess_gate, needs=("signals",)),
    stage("parse", (PAYLOADS, optional(FILES)), (DOCUMENTS,), "item"),
    stage("ir-validation", (DOCUMENTS,), (DOCUMENTS,), "item"),
    stage("chunk", (DOCUMENTS,), (CHUNKS,), "item", ChunkConfig),
    stage("embed", (CHUNKS,), (VECTORS,), "item", default_policy="gpu-bound"),
    stage("index", (CHUNKS, VECTORS), (key("index_receipt", Record),)),
    stage("extract", (DOCUMENTS,), (ENTITIES, CLAIMS)),
    stage("knowledge-graph", (ENTITIES, CLAIMS), (key("graph_receipt", Record),)),
    stage("note", (DOCUMENTS,), (NOTES,)),
    stage("read-notes", (NOTES,)),
    stage("long-chunks", (key("chunks", list[Longer]),)),
    stage("maybe-long", (optional(key("chunks", list[Longer])),)),
    stage("teleport", needs=("teleport",)),
    stage("night", default_policy="night-shift"),
    stage("mix", config=MixConfig),
    stage("required", config=RequiredConfig),
    stage("bounds", config=Revalidated, configure=order_bounds),
    stage("hostile", config=Hostile),
    stage("crash", configure=crash),
    stage("recurse", configure=recurse),
    stage("nothing", configure=lambda cls, config, **more: None),
    stage("orphan", (key("moonlight"),)),
    stage("rank", (key("scores"),)),
    stage("score", (key("weights"),), (key("scores"),)),
    stage("scale", (), (key("weights"),), "stream"),
]


class Loads:
    """Claims that note when they are loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def claim(self, name: str, plugin: Any, distribution: str = "fakes") -> Claim:
        def load() -> Any:
            self.loaded.append(name)
            if isinstance(plugin, BaseException):
                raise plugin
            return plugin

        return Claim(Origin(STAGES, name, distribution, "1.0", f"fakes:{name}"), load)


POLICIES = {
    "default": Policy(max_attempts=2, backoff=Backoff(jitter=False)),
    "gpu-bound": Policy(),
    "polite": Policy(rate_limit=RateLimit(rate_limit_per_second=1.0)),
}


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def registry(loads: Loads) -> Registry[StageType]:
    claims = [loads.claim(cls.metadata.stage_type, cls) for cls in TYPES]
    claims += [loads.claim("broken", ImportError("no module named moon")), loads.claim("quits", SystemExit(1))]
    claims += [loads.claim("twice", stage("twice"), "alpha"), loads.claim("twice", stage("twice"), "beta")]
    return Registry(STAGES, claims, accept_stage)


@pytest.fixture
def installation() -> Installation:
    installation = Installation(path=[])
    for name in ("auto", "openalex", "clinicaltrials", "pmc"):
        installation.door(PLUGINS).add(name, object())
    installation.door(PLUGINS).add("shared", object(), distribution="alpha")
    installation.door(PLUGINS).add("shared", object(), distribution="beta")
    return installation


@pytest.fixture
def run_check(registry: Registry[StageType], installation: Installation) -> Callable[..., CheckResult]:
    def run(source: str | Path, **more: Any) -> CheckResult:
        return check(source, registry, installation, more.pop("policies", POLICIES), **more)

    return run


@pytest.fixture
def old_policies() -> Mapping[str, Policy]:
    """The policies of the old files."""
    policies = load_policies(DATA / "resilience.yaml")
    assert policies.problems == ()
    return policies.by_name
