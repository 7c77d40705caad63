"""Records of a web service through the command line, which is killed at every page."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from loopback import Handler, Server
from misbehaving import reset
from paged_services import Citations

PIPELINE = """\
name: live
version: "1"
batch_size: 10
stages:
  - {name: ingest, type: ingest, config: {adapter: pubmed}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - {name: chunk, type: chunk, depends_on: [parse]}
  - {name: embed, type: embed, depends_on: [chunk], config: {embedder: hashing}}
  - {name: index, type: index, depends_on: [embed]}
"""


@pytest.mark.slow
def test_killed_at_any_page_it_goes_on_with_that_page(kg: Any, server: Server) -> None:
    """Each record is stored once, and no page that was stored is asked for again."""
    service = Citations(server, 25)
    (kg.root / "pipelines").mkdir(parents=True)
    (kg.root / "pipelines" / "live.yaml").write_text(PIPELINE)
    (kg.root / "medical_kg.toml").write_text(f'[http]\nallow_hosts = ["{server.host}"]\n')
    running: list[subprocess.Popen[str]] = []
    places: list[str] = []

    def kill_once(_: int) -> Handler | None:
        places.append(service.asked[-1]["retstart"])
        if places.count(places[-1]) > 1:
            return None
        running[-1].send_signal(signal.SIGKILL)
        running[-1].wait()
        return reset()

    service.before = kill_once
    codes = []
    while not codes or (codes[-1] == -signal.SIGKILL and len(codes) < 9):
        running.append(kg.start("run", "live", "--input", service.query, "--engine", "plain"))
        _, err = running[-1].communicate(timeout=60)
        codes.append(running[-1].returncode)
    assert codes == [-signal.SIGKILL] * 3 + [0], err
    assert places == ["0", "0", "10", "10", "20", "20"]
    stored = [root for (root,) in kg.ask("select root from index_documents")]
    assert sorted(stored) == sorted(service.ids())
    (submission,) = kg.json("submissions", "list")
    assert submission["status"] == "completed"
