"""500 downloads, of which three in ten meet a fault: what is good arrives whole, what is not is a dead letter with its cause."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import loopback
from loopback import Handler, Server
from misbehaving import bomb, busy, elsewhere, endless, fails, mistyped, reset, resumable, truncated

from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Payload
from medical_kg.downloads.media import PDF
from medical_kg.orchestration.fetching import HttpService, Limits
from medical_kg.orchestration.resilience import Backoff, Policy
from medical_kg.orchestration.services import FileArea
from medical_kg.stages.download import DownloadStage
from medical_kg.stages.signal import SignalStage
from medical_kg.testing import FakeClock, FakeSignals, run_stage

DOWNLOADS, FAULTY, ATTEMPTS, LIMIT = 500, 150, 4, 100_000
answer = partial(loopback.answer, media_type=PDF)
BOMB = bomb(media_type=PDF)


class Fault(NamedTuple):
    """What a server answers instead of the file, how often it is asked then, and the cause of the dead letter, if any."""

    answers: list[Handler]
    requests: int
    cause: str = ""


def faults(body: bytes) -> Iterator[Fault]:
    """Every fault, for a file with this content; the policy makes up to four attempts where the error may pass."""
    good = answer(body)
    yield Fault([busy(503, after=7), good], 2)
    yield Fault([busy(429, after=2), fails(500), good], 3)
    yield Fault([busy(503)], ATTEMPTS, "TransientError: .*HTTP 503")
    yield Fault([reset(), good], 2)
    yield Fault([reset(body, 1500, PDF), reset(), good], 3)
    yield Fault([reset()], ATTEMPTS, "TransientError: .*(ReadError|RemoteProtocolError)")
    yield Fault([truncated(body, media_type=PDF), good], 2)
    yield Fault([truncated(body, media_type=PDF)], ATTEMPTS, "TransientError: .*RemoteProtocolError")
    yield Fault([resumable(body, breaks=iter([1100, 400]), media_type=PDF)], 3)
    yield Fault([resumable(body, breaks=iter([1100, 1, 1, 1]), media_type=PDF)], ATTEMPTS, "TransientError: .*Remote")
    yield Fault([answer(bytes(LIMIT + 1))], 1, f"ItemRejected: .*longer than the limit of {LIMIT} bytes")
    yield Fault([answer(b"%PDF-"), answer(body)], 1)
    yield Fault([endless(media_type=PDF)], 1, "ItemRejected: .*the content is application/octet-stream")
    yield Fault([BOMB], 1, "ItemRejected: .*the content is application/octet-stream")
    yield Fault([pdf_without_end()], 1, f"ItemRejected: .*longer than the limit of {LIMIT} bytes")
    yield Fault(
        [mistyped(b"<!doctype html><title>Sign in</title>", PDF)], 1, "ItemRejected: .*text/html .though sent as"
    )
    yield Fault([mistyped(b"\xff\xd8\xff\xe0 JFIF", PDF)], 1, "ItemRejected: .*the content is image/jpeg")
    yield Fault([fails(404)], 1, "ItemRejected: .*HTTP 404")
    yield Fault([elsewhere("http://169.254.169.254/latest/meta-data/")], 1, "ItemRejected: .*not a public address")
    yield Fault(
        [elsewhere("http://inner.test/")], 1, r"ItemRejected: .*inner.test has the address 10.0.0.1, which is not"
    )
    yield Fault([elsewhere("file:///etc/passwd")], 1, "ItemRejected: .*only http, https and file")


def pdf_without_end() -> Handler:
    """A file that begins well and never says how long it is."""
    return answer(b"%PDF-" + bytes(10 * LIMIT), length=-1)


def paper(number: int, size: int) -> bytes:
    return b"%%PDF-1.7\n%% %d\n" % number + random.Random(number).randbytes(size)


def test_500_downloads_with_faults(server: Server, tmp_path: Path) -> None:
    """Good files are whole, bad ones dead letters with their cause, nothing is left over, and nobody is asked once too often."""
    chance = random.Random(6)
    papers = [paper(number, chance.randrange(2000, 60_000)) for number in range(DOWNLOADS)]
    kinds = len(list(faults(papers[0])))
    plan = [Fault([answer(body)], 1) for body in papers]
    for turn, number in enumerate(chance.sample(range(DOWNLOADS), FAULTY)):
        plan[number] = list(faults(papers[number]))[turn % kinds]
    for number, fault in enumerate(plan):
        server.routes[f"/{number}"] = fault.answers

    names = {"inner.test": ["10.0.0.1"]}
    http = HttpService(
        [server.host], public=True, limits=Limits(timeout=5), resolve=lambda host, _: names.get(host, [host])
    )
    clock = FakeClock()
    run = run_stage(
        DownloadStage,
        {"required": True, "max_bytes": LIMIT},
        payloads=[payload(number, server) for number in range(DOWNLOADS)],
        services={"http": http, "files": FileArea(tmp_path / "files")},
        policy=Policy(max_attempts=ATTEMPTS, timeout_seconds=600, backoff=Backoff(initial=1, maximum=8)),
        clock=clock,
    )
    http.close()

    good = {str(number): papers[number] for number, fault in enumerate(plan) if not fault.cause}
    short = {str(number) for number, fault in enumerate(plan) if len(fault.answers) == 2 and fault.requests == 1}
    good |= dict.fromkeys(short, b"%PDF-")
    files = run.output["files"]
    assert {file.root: file.sha256 for file in files} == {root: digest(body) for root, body in good.items()}
    assert {file.root: file.size for file in files} == {root: len(body) for root, body in good.items()}

    causes = {letter.item_id: f"{letter.error}: {letter.message}" for letter in run.dead_letters}
    bad = {str(number): fault.cause for number, fault in enumerate(plan) if fault.cause}
    assert set(causes) == set(bad)
    assert [(root, causes[root]) for root, cause in bad.items() if not re.match(cause, causes[root])] == []

    assert Counter(server.paths) == {f"/{number}": fault.requests for number, fault in enumerate(plan)}
    again = sum(fault.requests - 1 for fault in plan)
    assert (len(run.retries), len(clock.slept)) == (again, again)

    left = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert {path.stem for path in left} == {digest(body) for body in good.values()}
    assert {path.stem: digest(path.read_bytes()) for path in left} == {path.stem: path.stem for path in left}

    signals = FakeSignals()
    run_stage(SignalStage, {"signal": "pdf_downloaded", "attach": "files"}, files=files, services={"signals": signals})
    assert {one.item_id for one in signals.told[0].attachments} == set(good)


def payload(number: int, server: Server) -> Payload:
    return Payload(
        id=str(number),
        format="text",
        content=b"",
        links=(server.url(f"/{number}"),),
        provenance=Provenance(source="s", uri="file:///x"),
    )


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
