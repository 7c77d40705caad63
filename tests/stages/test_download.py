"""``download`` against a real loopback server: what is taken, what is refused, what is tried again."""

from __future__ import annotations

import hashlib
import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import loopback
import pytest
from loopback import Handler, Server
from misbehaving import drips, resumable, truncated
from pydantic import ValidationError

from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import DownloadedFile, Payload
from medical_kg.downloads.media import PDF
from medical_kg.orchestration.contract.errors import StageTimeout, TransientError
from medical_kg.orchestration.fetching import Limits
from medical_kg.orchestration.resilience import Policy
from medical_kg.orchestration.services import FileArea, HttpService
from medical_kg.stages.download import DownloadConfig, DownloadStage
from medical_kg.testing import FakeClock, StageRun, run_stage
from medical_kg.testing.harness import opened_stage

PAPER = b"%PDF-1.7\n" + b"page " * 1000
DIGEST = hashlib.sha256(PAPER).hexdigest()
LOGIN = b"\n<!DOCTYPE html><title>Sign in</title> %PDF-"


answer = partial(loopback.answer, media_type=PDF)


@pytest.fixture
def server(server: Server) -> Server:
    """The loopback server, with a paper on it."""
    server.routes["/paper"] = answer(PAPER)
    return server


@pytest.fixture
def download(server: Server, tmp_path: Path) -> Iterator[Callable[..., StageRun]]:
    """Runs the stage over one payload with these links, with the engine's own services."""
    http = HttpService([server.host], [tmp_path / "allowed"], limits=Limits(timeout=5))

    def run(*links: str, retries: int = 0, clock: FakeClock | None = None, **config: Any) -> StageRun:
        payload = Payload(
            id="r1", format="text", content=b"", links=links, provenance=Provenance(source="s", uri="file:///x")
        )
        services = {"http": http, "files": FileArea(tmp_path / "files")}
        return run_stage(
            DownloadStage,
            config,
            payloads=[payload],
            services=services,
            policy=Policy(max_attempts=retries + 1, timeout_seconds=600),
            clock=clock or FakeClock(),
        )

    yield run
    http.close()


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


def test_a_file_is_taken_with_digest_and_record(
    download: Callable[..., StageRun], server: Server, tmp_path: Path
) -> None:
    """A PDF is stored by content; its record joins to the payload and shows no secret of the address."""
    run = download(f"{server.url('/paper')}?token=geheim")
    expected = DownloadedFile(
        id=f"r1#{DIGEST[:16]}",
        root="r1",
        url=f"{server.url('/paper')}?token=...",
        uri=f"file-area:{DIGEST}.pdf",
        sha256=DIGEST,
        size=len(PAPER),
        media_type=PDF,
    )
    assert run.output["files"] == [expected]
    assert run.counts == {"files": 1}
    assert [path.read_bytes() for path in stored(tmp_path)] == [PAPER]


def test_again_gives_the_same(download: Callable[..., StageRun], server: Server, tmp_path: Path) -> None:
    """Fetching again after a crash gives the same record and one file."""
    assert download(server.url("/paper")).output == download(server.url("/paper")).output
    assert len(stored(tmp_path)) == 1


def test_payload_without_links_gives_nothing(download: Callable[..., StageRun]) -> None:
    """No link is no failure, also where files are required."""
    run = download(required=True)
    assert (run.output["files"], run.dead_letters) == ([], ())


def test_503_then_200_is_tried_again(download: Callable[..., StageRun], server: Server) -> None:
    """A busy server is asked again, not before the time it names."""
    server.routes["/busy"] = [answer(status=503, Retry_After="7"), answer(PAPER)]
    clock = FakeClock()
    run = download(server.url("/busy"), retries=2, clock=clock)
    assert [file.sha256 for file in run.output["files"]] == [DIGEST]
    assert [type(error) for error in run.retries] == [TransientError]
    assert sum(clock.slept) >= 7


def test_503_for_ever_is_a_dead_letter(download: Callable[..., StageRun], server: Server, tmp_path: Path) -> None:
    """A server that stays busy leaves a dead letter that can be replayed, and no file."""
    server.routes["/busy"] = [answer(status=503)]
    run = download(server.url("/busy"), retries=1)
    assert server.paths == ["/busy", "/busy"]
    assert [letter.error for letter in run.dead_letters] == ["TransientError"]
    assert run.output["files"] == []


def test_truncated_body_is_tried_again(download: Callable[..., StageRun], server: Server, tmp_path: Path) -> None:
    """A body that breaks off leaves nothing behind, and is whole the second time."""
    server.routes["/cut"] = [answer(PAPER[:2000], length=len(PAPER)), answer(PAPER)]
    run = download(server.url("/cut"), retries=1)
    assert [file.sha256 for file in run.output["files"]] == [DIGEST]
    assert [path.read_bytes() for path in stored(tmp_path)] == [PAPER]


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (answer(status=404), "HTTP 404"),
        (answer(LOGIN), r"the content is text/html \(though sent as application/pdf\), not application/pdf"),
        (answer(b"PK\x03\x04"), r"the content is application/zip \(though sent as application/pdf\)"),
        (answer(b"\x00\x01"), r"the content is application/octet-stream \(though sent as application/pdf\)"),
        (answer(b"plain", media_type="Text/Plain; charset=utf-8"), "the content is text/plain, not application/pdf"),
        (answer(b"plain", media_type=""), "the content is of no stated type, not"),
        (answer(b""), "the file is empty"),
        (answer(PAPER, length=-1), "longer than the limit of 4000 bytes"),
        (answer(PAPER), "longer than the limit of 4000 bytes"),
        (answer(status=302, Location="http://127.0.0.2:9/x"), "127.0.0.2:9 is not allowed"),
        (answer(status=302, Location="file:///etc/passwd"), "only http, https and file"),
    ],
)
def test_what_is_refused(
    download: Callable[..., StageRun], server: Server, tmp_path: Path, handler: Handler, reason: str
) -> None:
    """What will not change is refused once, with the reason, and leaves no file."""
    server.routes["/x"] = [handler]
    run = download(server.url("/x"), retries=3, required=True, max_bytes=4000)
    (letter,) = run.dead_letters
    assert (letter.error, letter.item_id) == ("ItemRejected", "r1")
    assert re.search(rf"r1: none of 1 link\(s\) could be taken: .*{reason}", letter.message)
    assert (server.paths, run.retries, stored(tmp_path)) == (["/x"], (), [])


def test_failed_links_are_logged_where_files_are_not_required(
    download: Callable[..., StageRun], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Without ``required`` a payload stays good when no link works; each refusal is logged."""
    run = download(server.url("/gone"), "http://elsewhere.test/x")
    assert (run.output["files"], run.dead_letters) == ([], ())
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["HTTP 404" in messages[0], "elsewhere.test is not allowed" in messages[1]] == [True, True]


def test_a_later_link_may_work(download: Callable[..., StageRun], server: Server) -> None:
    """Links are tried in order; one that works satisfies ``required``."""
    run = download(server.url("/gone"), server.url("/paper"), required=True)
    assert [file.url for file in run.output["files"]] == [server.url("/paper")]


def test_links_up_to_the_limit_and_contents_once(download: Callable[..., StageRun], server: Server) -> None:
    """No more files than asked for are taken; equal links and equal contents count once."""
    for number in range(4):
        server.routes[f"/{number}"] = [answer(b"%PDF-" + bytes([number // 2]))]
    run = download(*(server.url(f"/{number}") for number in (0, 0, 1, 2, 3)), max_files_per_item=2)
    assert [file.url for file in run.output["files"]] == [server.url("/0"), server.url("/2")]
    assert server.paths == ["/0", "/1", "/2"]


def test_other_media_types_can_be_asked_for(download: Callable[..., StageRun], server: Server, tmp_path: Path) -> None:
    """The list of media types decides; the name's ending follows the type."""
    server.routes["/page"] = [answer(LOGIN, media_type="text/html")]
    server.routes["/data"] = [answer(b"\x00\x01", media_type="application/x-data")]
    run = download(server.url("/page"), server.url("/data"), media_types=["text/html", "application/x-data"])
    assert [file.media_type for file in run.output["files"]] == ["text/html", "application/x-data"]
    assert sorted(path.suffix for path in stored(tmp_path)) == ["", ".html"]


def test_local_files_are_taken_below_allowed_folders(download: Callable[..., StageRun], tmp_path: Path) -> None:
    """A ``file://`` link is taken like any other, from where the operator allows."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "a.pdf").write_bytes(PAPER)
    (tmp_path / "b.pdf").write_bytes(PAPER)
    run = download((tmp_path / "allowed" / "a.pdf").as_uri(), required=True)
    assert [file.sha256 for file in run.output["files"]] == [DIGEST]
    (letter,) = download((tmp_path / "b.pdf").as_uri(), required=True).dead_letters
    assert "allow_roots" in letter.message


def test_a_call_keeps_its_time(download: Callable[..., StageRun], server: Server) -> None:
    """Between two pieces the stage looks at its time; what took too long is tried again by the policy."""
    clock = FakeClock()

    def slow(request: BaseHTTPRequestHandler) -> None:
        clock.advance(1_000)
        answer(PAPER)(request)

    server.routes["/slow"] = [slow, answer(PAPER)]
    run = download(server.url("/slow"), retries=1, clock=clock)
    assert [type(error) for error in run.retries] == [StageTimeout]
    assert len(run.output["files"]) == 1


def test_links_are_found_in_the_content(server: Server, tmp_path: Path) -> None:
    """Where the config says so; a way that does not fit is told like a link that was not taken."""
    server.routes["/other"] = answer(PAPER)
    content = b'{"best": {"pdf": "%s"}}' % server.url("/other").encode()
    payload = Payload(
        id="r1",
        format="json",
        content=content,
        links=(server.url("/paper"),),
        provenance=Provenance(source="s", uri="file:///x"),
    )
    services = {"http": HttpService([server.host]), "files": FileArea(tmp_path / "files")}
    run = run_stage(DownloadStage, {"links_from": [{"field": "best.pdf"}]}, payloads=[payload], services=services)
    assert [file.url for file in run.output["files"]] == [server.url("/other")]
    run = run_stage(
        DownloadStage, {"links_from": [{"xpath": "//a"}], "required": True}, payloads=[payload], services=services
    )
    assert "the payload is not XML" in run.dead_letters[0].message


def test_the_next_attempt_asks_only_for_what_is_missing(download: Callable[..., StageRun], server: Server) -> None:
    """Links that are settled, taken or refused, are not asked again, and a file that broke off is gone on with."""
    server.routes["/cut"] = resumable(PAPER, breaks=iter([2000, 1000]), media_type=PDF)
    run = download(server.url("/gone"), server.url("/paper"), server.url("/cut"), retries=2)
    assert [file.sha256 for file in run.output["files"]] == [DIGEST]
    assert server.paths == ["/gone", "/paper", "/cut", "/cut", "/cut"]
    assert [headers.get("range") for _, headers in server.seen[2:]] == [None, "bytes=2000-", "bytes=3000-"]


def test_an_item_is_not_remembered_for_another_or_for_long(server: Server, tmp_path: Path) -> None:
    """What a failed attempt left is for the next attempt at the same item, and for half an hour at most."""
    server.routes |= {"/cut": resumable(PAPER, breaks=iter([2000] * 4), media_type=PDF), "/gone": answer(status=404)}
    clock = FakeClock()
    http, files = HttpService([server.host]), FileArea(tmp_path / "files")

    def payload(ident: str, *paths: str) -> Payload:
        links = tuple(map(server.url, paths))
        return Payload(
            id=ident, format="x", content=b"", links=links, provenance=Provenance(source="s", uri="file:///x")
        )

    with opened_stage(DownloadStage, services={"http": http, "files": files}, clock=clock) as opened:
        stage, ctx = opened.stage, opened.ctx
        first = payload("a", "/gone", "/cut")
        for wait in (0, 1000, 2000):
            clock.advance(wait)
            with pytest.raises(TransientError):
                stage.process(ctx, first)
        assert server.paths == ["/gone", "/cut", "/cut", "/gone", "/cut"]
        assert len(left_over(tmp_path)) == 1
        assert stage.process(ctx, payload("b")) == []
        assert left_over(tmp_path) == []
        with pytest.raises(TransientError):
            stage.process(ctx, first)
    assert left_over(tmp_path) == []


def test_being_stopped_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a file removes what had come."""
    pieces: list[None] = []

    def stop() -> None:
        pieces.append(None)
        if len(pieces) == 2:
            while not any(path.stat().st_size for path in left_over(tmp_path)):
                time.sleep(0.005)  # until the first piece is in its file
            signal.raise_signal(signal.SIGINT)

    server.routes["/cut"] = drips(PAPER, between=stop, pieces=2, media_type=PDF, ETag='"v1"')
    http, files = HttpService([server.host]), FileArea(tmp_path / "files")
    payload = Payload(
        id="a", format="x", content=b"", links=(server.url("/cut"),), provenance=Provenance(source="s", uri="file:///x")
    )
    with opened_stage(DownloadStage, services={"http": http, "files": files}) as opened:
        with pytest.raises(KeyboardInterrupt):
            opened.stage.process(opened.ctx, payload)
        assert left_over(tmp_path) == []


def test_what_cannot_be_gone_on_with_is_not_kept(server: Server, tmp_path: Path) -> None:
    """A file that broke off and has nothing that tells its states apart is gone at once."""
    server.routes["/cut"] = truncated(PAPER, media_type=PDF)
    services = {"http": HttpService([server.host]), "files": FileArea(tmp_path / "files")}
    payload = Payload(
        id="a", format="x", content=b"", links=(server.url("/cut"),), provenance=Provenance(source="s", uri="file:///x")
    )
    with opened_stage(DownloadStage, services=services) as opened:
        with pytest.raises(TransientError, match="RemoteProtocolError"):
            opened.stage.process(opened.ctx, payload)
        assert left_over(tmp_path) == []


def left_over(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "files").glob(".*"))


@pytest.mark.parametrize("config", [{"media_types": []}, {"max_files_per_item": 0}, {"max_bytes": 0}, {"maximum": 1}])
def test_wrong_config_is_refused(config: dict[str, Any]) -> None:
    """Limits begin at one, and unknown fields are refused."""
    with pytest.raises(ValidationError):
        DownloadConfig(**config)
