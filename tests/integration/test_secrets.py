"""A secret in every place it might leak from: what a run leaves behind is looked through byte by byte."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from postgres_server import PostgresServer

SECRETS = {
    "environment": "hunter2/of the+environment",
    "file": "correct-horse-of-the-file",
    "typed": "battery-staple-by-a-default",
    "literal": "written-out-where-a-place-belongs",
}
LEAKY = """
import logging
import os
from urllib.parse import quote

from pydantic import Field, SecretStr

from medical_kg import InputError, ItemRejected, Model, Secret, Stage, StageMetadata, TransientError
from medical_kg.documents.keys import DOCUMENTS, PAYLOADS


class Keys(Model):
    one: Secret
    two: Secret
    three: SecretStr = Field(default_factory=lambda: SecretStr(os.environ["LEAKY_TYPED"]))
    fatal: bool = False


class Leaky(Stage[Keys]):
    metadata = StageMetadata(
        stage_type="leaky", version="1.0.0", description="Tells.", mode="item", reads=(PAYLOADS,), writes=(DOCUMENTS,), config_model=Keys
    )
    calls = 0

    def process(self, ctx, payload):
        one, two, three = ctx.config.one.reveal(), ctx.config.two.reveal(), ctx.config.three.get_secret_value()
        self.calls += 1
        url = f"https://user:{two}@example.org/api?key={quote(one, safe='')}&more={three}"
        ctx.logger.warning("asking %s with %r", url, {"Authorization": one})
        try:
            raise OSError(f"cannot reach {url}")
        except OSError as error:
            ctx.logger.exception("the key was %s", one)
            logging.getLogger("elsewhere").warning("a library says %s and %s", one, two)
            if self.calls == 1:
                raise TransientError(f"{url} answered 503") from error
            if self.calls == 2:
                raise ItemRejected(f"{url}: refused {one}") from error
            if not ctx.config.fatal:
                raise ValueError("x" * 2990 + one + "y" * 5000, three) from error
            raise InputError(f"{url} is not known to {two}") from error
"""
PIPELINE = """
name: leaky
version: "1"
stages:
  - {{name: ingest, type: ingest, config: {{adapter: auto}}}}
  - name: leak
    type: leaky
    depends_on: [ingest]
    policy: retried
    {environment}
    config:
      one: {{env: LEAKY_KEY}}
      two: {{file: "{file}"}}
"""
POLICIES = """
policies:
  retried: {max_attempts: 2, timeout_seconds: 60, backoff: {strategy: none, initial: 0, maximum: 0, jitter: false}}
"""


def forms(secret: str) -> list[bytes]:
    """How a secret may stand in a file: as it is, as an address writes it, and within base64 at any offset."""
    inside = [base64.b64encode(b" " * shift + secret.encode())[4:-4] for shift in range(3)]
    return [secret.encode(), quote(secret, safe="").encode(), secret.encode()[4:], *inside]


def leaks(said: bytes) -> list[str]:
    return [name for name, secret in SECRETS.items() if any(form in said for form in forms(secret))]


def install(kg: Any, where: str, database: str) -> set[Path]:
    """Write plugin, pipeline and settings; return the files in which a secret stands because it was put there."""
    kg.folder.joinpath("leaky.py").write_text(LEAKY)
    settings = '[plugins.local.stages]\nleaky = "leaky:Leaky"\n'
    kg.folder.joinpath("medical_kg.toml").write_text(database + settings)
    secret, pipelines = kg.folder / "secret", kg.root / "pipelines"
    secret.write_text(SECRETS["file"] + "\n")
    pipelines.mkdir(parents=True)
    environment = f"environment: {where}" if where else ""
    text = PIPELINE.format(file=secret, environment=environment)
    (pipelines / "leaky.yaml").write_text(text)
    (pipelines / "resilience.yaml").write_text(POLICIES)
    wrong = pipelines / "wrong.yaml"
    wrong.write_text(text.replace("{env: LEAKY_KEY}", SECRETS["literal"]).replace("name: leaky", "name: wrong"))
    return {secret, wrong}


def look(kg: Any, ask: Callable[..., str]) -> None:
    """Have everything printed, written and copied that tells of two runs, the second of which failed, and retry that."""
    failed, ident = (one["id"] for one in kg.json("submissions", "list"))
    assert "refused ***" in ask("submissions", "dead-letters", ident, "--json")
    assert "is not known to ***" in ask("-v", "submissions", "show", failed)
    ask("submissions", "explain", ident)
    ask("submissions", "report", ident, "--out", kg.folder / "report.html")
    ask("-v", "submissions", "retry", failed)
    ask("workspace", "backup", kg.folder / "backup")
    assert "a secret is not written out" in ask("pipelines", "check", "wrong")
    for field in ("one", "three"):
        literal = f"leak.{field}={SECRETS['literal']}"
        assert "a secret is not written out" in ask("run", "leaky", "--input", kg.source, "--set", literal)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "where", "kind"), [("dagster", "", "sqlite"), ("plain", "process", "sqlite"), ("plain", "", "postgres")]
)
def test_no_secret_is_left_behind(kg: Any, engine: str, where: str, kind: str, request: pytest.FixtureRequest) -> None:
    """Neither in a file, nor in a database, nor in what commands print; it fails with them in addresses and messages."""
    server, name, database = None, "", ""
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        assert isinstance(server, PostgresServer)
        name = server.database()
        database = f'[workspace]\ndatabase_url = "{server.url(name)}"\n'
    given = install(kg, where, database)
    environment = {"LEAKY_KEY": SECRETS["environment"], "LEAKY_TYPED": SECRETS["typed"]}
    said = []

    def ask(*words: object) -> str:
        done = kg(*words, environment=environment)
        said.append(done.stdout + done.stderr)
        return done.stdout + done.stderr

    run = ask("-v", "--log-format", "json", "run", "leaky", "--input", kg.source, "--engine", engine)
    assert "asking https://user:***@example.org/api?key=***&more=***" in run
    fatal = ask("-v", "run", "leaky", "--input", kg.source, "--engine", engine, "--set", "leak.fatal=true")
    assert "is not known to ***" in fatal
    if engine == "dagster":
        look(kg, ask)
    assert [found for one in said if (found := leaks(one.encode()))] == []
    files = [path for path in kg.folder.rglob("*") if path.is_file()]
    copied = {path.name for path in given}
    found = {str(path.relative_to(kg.folder)): leaks(path.read_bytes()) for path in files if path.name not in copied}
    assert {path: names for path, names in found.items() if names} == {}
    if server is not None:
        assert leaks(server.dump(name).encode()) == []
