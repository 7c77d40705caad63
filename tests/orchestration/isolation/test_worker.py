"""The worker's own code, driven in this process: what it answers, what it leaves behind, what it finds there."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medical_kg import ItemRejected, StageContext, StateKey, TransientError
from medical_kg.orchestration.contract import StageMetadata
from medical_kg.orchestration.contract.errors import (
    ContractError,
    SettingsError,
    StageError,
    StageTimeout,
    StorageError,
)
from medical_kg.orchestration.execution.failing import Recorded
from medical_kg.orchestration.execution.whole import wholly
from medical_kg.orchestration.isolation.board import WHOLE, Board, Call, Remains, Spool
from medical_kg.orchestration.isolation.channel import Channel
from medical_kg.orchestration.isolation.errors import rebuilt, told
from medical_kg.orchestration.resilience import Backoff, Policy
from medical_kg.orchestration.worker.program import Program
from medical_kg.orchestration.worker.services import services
from medical_kg.orchestration.worker.watched import Items, Results, Watched
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a channel."""
    ours, theirs = socket.socketpair()
    yield Channel(ours), Channel(theirs)
    ours.close()
    theirs.close()


@pytest.fixture
def remains() -> Iterator[Remains]:
    """A board and a spool."""
    made = Remains(None)
    yield made
    made.close()


@pytest.fixture
def program(odd_plugin: str, tmp_path: Path, ends: tuple[Channel, Channel]) -> Iterator[Program]:
    """A worker's program on one end of the channel; the log handler it adds is taken away again."""
    handlers = list(logging.getLogger().handlers)
    yield Program(ends[1], tmp_path / "w")
    for handler in logging.getLogger().handlers:
        if handler not in handlers:
            logging.getLogger().removeHandler(handler)


def answer_of(program: Program, engine: Channel, request: dict[str, Any], fds: tuple[int, ...] = ()) -> list[Any]:
    """Every message that came of a request, the answer last."""
    copies = [os.dup(fd) for fd in fds]
    assert program.answer(request, copies)
    said = []
    while not said or "done" not in said[-1]:
        received = engine.receive()
        assert received is not None
        said.append(received[0])
    return said


def test_messages_and_files_pass_whole(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    """Text of any kind, values JSON does not know as their text, and open files arrive; the end is told as None."""
    here, there = ends
    with (tmp_path / "file").open("w+") as file:
        here.send({"text": "ä\udc80\n", "path": Path("/a"), "long": "x" * 70_000}, [file.fileno()])
        received = there.receive()
        assert received is not None
        message, (fd,) = received
        os.write(fd, b"kept")
        os.close(fd)
    assert (message["text"], message["path"], len(message["long"])) == ("ä\udc80\n", "/a", 70_000)
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert not there.arrives(0)
    here.close()
    assert there.arrives(None)
    assert there.receive() is None


def test_a_message_cut_short_is_the_end(ends: tuple[Channel, Channel]) -> None:
    """A peer that dies in the middle of a message has said nothing."""
    here, there = ends
    here._socket.sendall(b"\0\0\0\x09{}")
    here.close()
    assert there.receive() is None


def test_the_board_shows_the_running_call_only(remains: Remains) -> None:
    """A call is seen from its begin to its end, by whoever has the same file."""
    other = Board(remains.fds[0])
    assert other.running() is None
    remains.board.begin(Call(3, 1, 2, 10.5))
    assert other.running() == Call(3, 1, 2, 10.5)
    remains.board.end()
    assert other.running() is None
    other.close()


def test_a_spool_cut_short_keeps_its_whole_notes(remains: Remains) -> None:
    """What a dying worker left half-written is cut off, and the next note follows the last whole one."""
    spool = remains.spool
    spool.add({"at": 0}, b"body")
    spool.add({"at": 1})
    size = os.fstat(remains.fds[1]).st_size
    for cut in (3, 20):
        spool.add({"at": 2}, b"more")
        os.ftruncate(remains.fds[1], size + cut)
        assert [(head["at"], body) for head, body in spool.notes()] == [(0, b"body"), (1, b"")]
    spool.add({"at": 3}, b"last")
    assert [head["at"] for head, _ in spool.notes()] == [0, 1, 3]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_fails_the_stage_not_the_item() -> None:
    """A note that cannot be written is no fault of the item that was worked on."""
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(StorageError, match="No space left"):
        Spool(full.fileno()).add({"at": 0}, b"body")


def context() -> StageContext:
    logger = logging.LoggerAdapter(logging.getLogger("t"), {})
    return StageContext("p", "x", "s", "b", "t", None, logger, clock=FakeClock())


def guard(
    remains: Remains, metadata: StageMetadata, items: list[Any], policy: Policy | None = None, **more: Any
) -> Items:
    ctx = context()
    ctx.clock = FakeClock(time=5.0)
    given = (policy or Policy(), ctx, lambda *_: None, lambda: 0.5)
    return Items(
        *given, items=items, metadata=metadata, spool=remains.spool, board=remains.board, **{"used": {}, **more}
    )


NEAREST = "did you mean 'odd-shout' or 'odd-chorus' or 'odd-sink'?"
WORDS: StateKey[list[str]] = StateKey("words", list[str], id=str)
PARTS: StateKey[list[str]] = StateKey("parts", list[str], id=str)


def item_stage(**more: Any) -> StageMetadata:
    given = {
        "stage_type": "x",
        "version": "1",
        "description": "X.",
        "mode": "item",
        "reads": (WORDS,),
        "writes": (PARTS,),
    }
    return StageMetadata(**{**given, **more})


@pytest.mark.parametrize(
    ("metadata", "function", "expected"),
    [
        (item_stage(), str.upper, ["A", "B"]),
        (item_stage(flat=True), lambda word: iter([word, word * 2]), [["a", "aa"], ["b", "bb"]]),
        (
            item_stage(writes=(PARTS, WORDS), flat=True),
            lambda word: {PARTS: (part for part in word * 2), "words": [word]},
            [{"parts": ["a", "a"], "words": ["a"]}, {"parts": ["b", "b"], "words": ["b"]}],
        ),
        (item_stage(writes=(PARTS, WORDS)), lambda word: {PARTS: word, WORDS: "x"}, None),
        (item_stage(writes=()), lambda word: None, [None, None]),
    ],
)
def test_what_was_done_is_found_again(remains: Remains, metadata: StageMetadata, function: Any, expected: Any) -> None:
    """A second worker has the results of the first without calling anything, in every shape of output."""
    items = ["a", "b"]
    first = guard(remains, metadata, items)
    call = wholly(metadata, lambda ctx, item: function(item))
    results = [first(call, None, item) for item in items]

    def never(*_: Any) -> Any:
        raise AssertionError("called again")

    second = guard(remains, metadata, items)
    again = [second(never, None, item) for item in items]
    named = [{getattr(k, "name", k): v for k, v in one.items()} if isinstance(one, dict) else one for one in results]
    assert again == named
    assert expected is None or again == expected


def test_groups_are_found_again_by_their_place(remains: Remains) -> None:
    """Of groups, each slice has its own note; a group that failed is halved again without being called."""
    metadata = item_stage(items_per_call=4)
    items = ["a", "b", "c", "d"]
    first = guard(remains, metadata, items)

    def work(ctx: Any, group: list[str]) -> Iterator[str]:
        if "c" in group:
            raise ItemRejected("no c")
        return map(str.upper, group)

    call = wholly(metadata, work)
    with pytest.raises(Recorded, match="no c"):
        first(call, None, items)
    assert first(call, None, items[:2]) == ["A", "B"]
    second = guard(remains, metadata, items)
    with pytest.raises(Recorded) as raised:
        second(work, None, items)
    assert (raised.value.failure.error, raised.value.failure.message) == ("ItemRejected", "no c")
    assert second(None, None, items[:2]) == ["A", "B"]  # type: ignore[arg-type]  # nothing is called


def test_a_call_that_killed_a_worker_is_not_made_again(remains: Remains) -> None:
    """The engine's note about a death becomes that item's failure, with its id."""
    remains.spool.add({"at": 1, "length": 1, "died": {"kind": "WorkerDied", "message": "by SIGSEGV"}})
    second = guard(remains, item_stage(), ["a", "b"])
    with pytest.raises(Recorded) as raised:
        second(None, None, second._items[1])  # type: ignore[arg-type]  # nothing is called
    failure = raised.value.failure
    assert (failure.item_id, failure.error, failure.message) == ("b", "WorkerDied", "by SIGSEGV")


def test_attempts_used_up_elsewhere_count(remains: Remains) -> None:
    """Of three attempts, one that ended with its worker leaves two; other items have all three."""
    policy = Policy(max_attempts=3, backoff=Backoff(strategy="none"))
    tries: list[str] = []

    def fail(ctx: Any, item: str) -> None:
        tries.append(item)
        raise TransientError("busy")

    items = ["a", "b"]
    watched = guard(remains, item_stage(), items, policy, used={(0, 1): 1})
    for item in items:
        with pytest.raises(Recorded, match="busy"):
            watched(fail, None, item)
    assert tries == ["a", "a", "b", "b", "b"]


def test_the_board_has_place_and_attempt_while_a_call_runs(remains: Remains) -> None:
    """What the engine needs to know of a worker that dies now."""
    seen: list[Call | None] = []

    def look(ctx: Any, item: str) -> str:
        seen.append(remains.board.running())
        if len(seen) == 1:
            raise TransientError("busy")
        return item

    policy = Policy(max_attempts=2, backoff=Backoff(strategy="none"))
    items = ["a", "b"]
    watched = guard(remains, item_stage(), items, policy)
    watched(look, None, items[1])
    assert seen == [Call(1, 1, 1, 5.0), Call(1, 1, 2, 5.0)]
    assert remains.board.running() is None


def test_errors_of_the_stage_itself_are_not_an_items(remains: Remains) -> None:
    """What says that the stage is broken is raised as it is and noted nowhere."""

    def broken(ctx: Any, item: str) -> None:
        raise ContractError("x", "lied")

    items = ["a"]
    watched = guard(remains, item_stage(), items)
    with pytest.raises(ContractError):
        watched(broken, None, items[0])
    assert list(remains.spool.notes()) == []


@pytest.mark.parametrize("limited", [True, False])
def test_running_out_of_memory_ends_a_limited_process(remains: Remains, limited: bool) -> None:  # noqa: FBT001  # both ways
    """Under a limit the process is ended at once; without one the error is the stage's."""
    ended: list[str] = []

    def hog() -> None:
        raise MemoryError

    out = (lambda: ended.append("now")) if limited else None
    watched = Watched(Policy(), context(), lambda *_: None, lambda: 0.5, board=remains.board, out_of_memory=out)
    watched.at((WHOLE, 0))
    with pytest.raises(MemoryError):
        watched(hog)
    assert ended == (["now"] if limited else [])


def test_results_that_do_not_fit_are_not_noted() -> None:
    """What the engine's checks will refuse has no note; neither has what only the stage's handler understands."""
    assert Results(item_stage()).dump(3) is None
    assert Results(item_stage(output_handler=lambda out: {PARTS: out})).dump("a") is None


def test_an_error_that_cannot_speak_is_told_all_the_same() -> None:
    """Name, message and traceback of any error pass; ours come back as what they are, others under their name."""

    class Silent(Exception):  # as plugins may name theirs
        def __str__(self) -> str:
            raise RuntimeError

    assert told(Silent())["message"]
    ours, other = rebuilt(told(StageTimeout("late"))), rebuilt(told(KeyError("k")))
    assert (type(ours), str(ours)) == (StageTimeout, "late")
    assert (type(other).__name__, str(other), isinstance(other, StageError)) == ("KeyError", "'k'", True)
    assert "KeyError" in "".join(other.__notes__)


def test_a_program_answers_what_it_is_asked(program: Program, ends: tuple[Channel, Channel]) -> None:
    """It describes types and judges configs; what it cannot find is an answer too; after close it is over."""
    engine = ends[0]
    (said,) = answer_of(program, engine, {"do": "describe", "type": "odd:odd-shout"})
    assert (said["type"]["name"], said["type"]["metadata"]["mode"]) == ("odd-shout", "item")
    (said,) = answer_of(program, engine, {"do": "describe", "type": "odd-shou"})
    assert (said["error"]["kind"], said["error"]["facts"][3]) == ("PluginNotFound", NEAREST)
    asked = {"type": "odd-shout", "given": {"numbre": 1}, "stage": "s", "conditions": {}}
    (said,) = answer_of(program, engine, {"do": "judge", **asked})
    assert said["verdict"]["errors"][0]["known"] == ["bytes_each", "doing", "key", "log", "number"]
    (said,) = answer_of(program, engine, {"do": "dance"})
    assert said["error"]["kind"] == "KeyError"
    assert not program.answer({"do": "close"}, [])


def test_a_program_tells_of_broken_and_contested_types(
    program: Program, ends: tuple[Channel, Channel], tmp_path: Path
) -> None:
    """The facts of an error are told, so that the engine can say what it would say of its own."""
    from distributions import distribution

    distribution(tmp_path / "site", "rival", {"odd-feed": "nowhere:X", "lost": "nowhere:X"})
    (said,) = answer_of(program, ends[0], {"do": "describe", "type": "odd-feed"})
    assert (said["error"]["kind"], said["error"]["facts"][2]) == ("PluginConflict", ["odd 1.0", "rival 1.0"])
    *_, said = answer_of(program, ends[0], {"do": "describe", "type": "lost"})
    assert (said["error"]["kind"], "ModuleNotFoundError" in said["error"]["facts"][3]) == ("PluginBroken", True)


def run_request(program: Program, type_: str, **more: Any) -> dict[str, Any]:
    ids = {"pipeline": "p", "stage": "s", "submission_id": "s1", "batch_id": "b1", "tenant": "t"}
    return {
        "do": "run",
        "type": type_,
        "config": {},
        "context": {**ids, "sequence": 1, "timed_out": False, "input": {}},
        "conditions": {},
        "policy": Policy(max_attempts=2, backoff=Backoff(strategy="none")).model_dump(mode="json"),
        "reads": {},
        "cursor": None,
        "limit": 10,
        "most_pages": 1,
        "log_level": logging.WARNING,
        "used": [],
        "leave_out": [],
        **more,
    }


def test_a_program_runs_stages_by_reference(
    program: Program, ends: tuple[Channel, Channel], remains: Remains, tmp_path: Path
) -> None:
    """Reads come as references, outputs go to the store; retries and log records are told on the way."""
    engine = ends[0]
    engine.send({"answer": []})
    met, fed = answer_of(program, engine, run_request(program, "odd-feed"), remains.fds)
    assert (sorted(met["met"]), met["rejected"], fed["swept"]["unchanged"]) == (["w0", "w1", "w2"], ["w-odd"], 0)
    words = fed["outputs"]["words"]
    assert (words["items"], fed["counts"], fed["cursor"], len(fed["failures"])) == (3, {"words": 3.0}, None, 1)
    program._runner.close()
    config = {"doing": {"w1": "pass-once", "w2": "raise"}, "log": str(tmp_path / "log")}
    request = run_request(program, "odd-shout", reads={"words": [words]}, config=config)
    *told_before, made = answer_of(program, engine, request, remains.fds)
    assert [one["retried"]["error"]["message"] for one in told_before if "retried" in one] == ["busy"]
    logged = [one["log"]["msg"] for one in told_before if "log" in one]
    assert logged == ["shouting w0", "shouting w1"]
    assert made["counts"] == {"upper": 2.0}
    assert [(one["item_id"], one["error"]) for one in made["failures"]] == [("w2", "ValueError")]
    store = Workspace(tmp_path / "w").checkpoints
    assert store.get(made["outputs"]["upper"]["digest"], ".jsonl").count(b"WORD") == 2


def test_a_program_waits_and_asks_for_signals(
    program: Program, ends: tuple[Channel, Channel], remains: Remains, tmp_path: Path
) -> None:
    """The engine is asked for signals in the midst of a call; a wait is an answer."""
    (tmp_path / "w" / "tenants" / "t").mkdir(parents=True)
    engine = ends[0]
    engine.send({"answer": False})
    asked, answer = answer_of(program, engine, run_request(program, "odd-gate"), remains.fds)
    assert asked["signals"] == "holds"
    assert answer["waiting"]["condition"]["clauses"][0]["field"] == "open"
    for one in (True, {"open": {"name": "open", "value": True}}, 1):
        engine.send({"answer": one})
    *asked_more, answer = answer_of(program, engine, run_request(program, "odd-gate"), remains.fds)
    assert [one["signals"] for one in asked_more] == ["holds", "all", "tell"]
    assert answer["outputs"] == {}


def test_a_refused_signal_is_the_stages_error(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    """What the engine cannot answer is raised in the stage that asked, as what it is."""
    signals = services(("signals",), Workspace(tmp_path), "default", ends[1])["signals"]
    ends[0].send({"failed": told(SettingsError("no such thing"))})
    with pytest.raises(SettingsError, match="no such thing"):
        signals.tell("x", 1)


def test_an_engine_that_is_gone_answers_no_signal(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    """Asking for signals then fails, as any lost connection."""
    made = services(("signals",), Workspace(tmp_path), "default", ends[1])
    ends[0].close()
    with pytest.raises(OSError):  # noqa: PT011  # broken pipe or reset, as the system likes
        made["signals"].all()


def test_a_service_that_cannot_be_had_is_told(
    ends: tuple[Channel, Channel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment lacks what fetching needs, the stage is told so before it begins."""
    assert services(("http",), Workspace(tmp_path), "default", ends[1])["http"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs httpx2"):
        services(("http",), Workspace(tmp_path), "default", ends[1])


def test_remains_lie_in_the_workspace_or_the_systems_place(tmp_path: Path) -> None:
    """Results of calls lie where checkpoints do, without a name; before there is a workspace, in the system's place."""
    for folder in (tmp_path, tmp_path / "nowhere", None):
        made = Remains(folder)
        made.spool.add({"at": 0})
        made.close()
    assert list(tmp_path.iterdir()) == []
    with tempfile.TemporaryFile() as file:
        assert list(Spool(file.fileno()).notes()) == []
