"""Wrong files, each with the problems it must give: a comment ``#! CODE`` stands on the line of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from medical_kg.orchestration.pipeline.check import CheckResult
from medical_kg.orchestration.pipeline.problems import KINDS

Check = Callable[..., CheckResult]

HEAD = 'name: p\nversion: "1"\n'
FLOW = """stages:
  - {name: ingest, type: ingest}
  - {name: parse, type: parse, depends_on: [ingest]}
"""

SHAPES = {
    "unknown key at the top": HEAD + "stagse: []  #! MKG011\n" + FLOW,
    "unknown key of a stage": HEAD + "stages:\n  - name: ingest\n    type: ingest\n    typo: 1  #! MKG011",
    "unknown key of metadata": HEAD + "metadata:\n  owner: me\n  ownr: me  #! MKG011\n" + FLOW,
    "unknown key of a gate": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - name: g\n    pol: 1  #! MKG011\n    condition: {field: g}",
    "unknown key of a condition": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - name: g\n    condition:\n      feild: g  #! MKG011",
    "no name": 'version: "1"  #! MKG012\n' + FLOW,
    "no version": "name: p  #! MKG012\n" + FLOW,
    "no stages": 'name: p  #! MKG012\nversion: "1"',
    "an empty list of stages": HEAD + "stages: []  #! MKG013",
    "stages as a mapping": HEAD + "stages: {ingest: ingest}  #! MKG013",
    "stages null": HEAD + "stages:  #! MKG013",
    "a stage that is text": HEAD + FLOW + "  - parse  #! MKG013",
    "a stage without name": HEAD + "stages:\n  - type: ingest  #! MKG012",
    "a stage without type": HEAD + "stages:\n  - name: ingest  #! MKG012",
    "an empty name": HEAD + 'stages:\n  - {name: "", type: ingest}  #! MKG013',
    "a number as version": "name: p\nversion: 1.0  #! MKG013\n" + FLOW,
    "a boolean as name": 'name: true  #! MKG013\nversion: "1"\n' + FLOW,
    "depends_on as text": HEAD + FLOW + "  - name: x\n    type: note\n    depends_on: parse  #! MKG013",
    "config as a list": HEAD + "stages:\n  - {name: ingest, type: ingest, config: [1]}  #! MKG013",
    "batch_size zero": HEAD + "batch_size: 0  #! MKG013\n" + FLOW,
    "batch_size as text": HEAD + 'batch_size: "2000"  #! MKG013\n' + FLOW,
    "batch_size true": HEAD + "batch_size: true  #! MKG013\n" + FLOW,
    "max_failed_items negative": HEAD + "max_failed_items: -1  #! MKG013\n" + FLOW,
    "max_failed_items over all": HEAD + "max_failed_items: 101%  #! MKG013\n" + FLOW,
    "timeout zero": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {field: g, timeout_seconds: 0}}  #! MKG013",
    "timeout for ever": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {field: g, timeout_seconds: .inf}}  #! MKG013",
    "unknown operator": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {clauses: [{field: g, operator: is}]}}  #! MKG013",
    "a list for operator in": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - name: g\n    condition:\n      clauses:\n"
    + "        - {field: g, operator: in, value: 1}  #! MKG013",
    "field and clauses": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - name: g\n    condition: {field: g, clauses: [{field: h}]}  #! MKG013",
    "neither field nor clauses": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - name: g\n    condition: {equals: 1}  #! MKG013",
    "mode with field": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {field: g, mode: any}}  #! MKG013",
    "equals with clauses": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {equals: 1, clauses: [{field: g}]}}  #! MKG013",
    "unknown on_timeout": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {field: g}, on_timeout: skip}  #! MKG013",
    "a duplicate key": HEAD + "version: '2'  #! MKG006\n" + FLOW,
    "a duplicate key of a stage": HEAD + "stages:\n  - {name: ingest, type: ingest, type: poll}  #! MKG006",
}

NAMES = {
    "a stage name with a hyphen": HEAD + "stages:\n  - {name: in-gest, type: ingest}  #! MKG014",
    "a stage name that is reserved": HEAD + "stages:\n  - {name: open_batch, type: ingest}  #! MKG014",
    "a stage name that is a keyword": HEAD + "stages:\n  - {name: import, type: ingest}  #! MKG014",
    "a stage name in other letters": HEAD + "stages:\n  - {name: étape, type: ingest}  #! MKG014",
    "a stage name without letters": HEAD + "stages:\n  - {name: '+++', type: ingest}  #! MKG014",
    "a very long stage name": HEAD + f"stages:\n  - {{name: {'a' * 101}, type: ingest}}  #! MKG014",
    "a pipeline name with a slash": 'name: a/b  #! MKG014\nversion: "1"\n' + FLOW,
    "two stages of one name": HEAD
    + "stages:\n  - {name: a, type: ingest}\n  - {name: a, type: night}  #! MKG015 MKG025",
    "two gates of one name": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, condition: {field: g}}\n"
    + "  - {name: g, condition: {field: h}}  #! MKG015",
}

REFERENCES = {
    "unknown type": HEAD + FLOW + "  - {name: c, type: chnk, depends_on: [parse]}  #! MKG020",
    "unknown distribution": HEAD + "stages:\n  - {name: a, type: 'nobody:ingest'}  #! MKG020",
    "a type claimed twice": HEAD + "stages:\n  - {name: a, type: twice}  #! MKG021",
    "a broken type": HEAD + "stages:\n  - {name: a, type: broken}  #! MKG022",
    "a type that ends the process": HEAD + "stages:\n  - {name: a, type: quits}  #! MKG022",
    "unknown policy": HEAD + "stages:\n  - {name: a, type: ingest, policy: polit}  #! MKG023",
    "unknown service": HEAD + "stages:\n  - {name: a, type: teleport}  #! MKG024",
    "unknown default policy": HEAD + "stages:\n  - {name: a, type: night}  #! MKG025",
    "unknown environment": HEAD + "stages:\n  - {name: a, type: ingest, environment: proces}  #! MKG026",
    "a type its environment lacks": HEAD + "stages:\n  - {name: a, type: nowhere, environment: process}  #! MKG027",
    "results of a type that is not cacheable": HEAD + "stages:\n  - {name: a, type: ingest, cache: true}  #! MKG028",
    "unknown dependency": HEAD + FLOW + "  - {name: c, type: chunk, depends_on: [prase]}  #! MKG030",
    "itself": HEAD + "stages:\n  - {name: a, type: gate, depends_on: [a], config: {gate: x}}  #! MKG031 MKG042",
    "a dependency twice": HEAD + FLOW + "  - {name: c, type: chunk, depends_on: [parse, parse]}  #! MKG033",
    "a circle of two": HEAD
    + FLOW
    + "  - {name: x, type: chunk, depends_on: [parse, y]}  #! MKG032\n  - {name: y, type: embed, depends_on: [x]}",
    "a circle, and a stage behind it": HEAD
    + FLOW
    + "  - {name: x, type: ir-validation, depends_on: [z]}  #! MKG032\n"
    + "  - {name: y, type: ir-validation, depends_on: [x]}\n"
    + "  - {name: z, type: ir-validation, depends_on: [y]}\n  - {name: c, type: chunk, depends_on: [z]}",
    "two circles": HEAD
    + "stages:\n  - {name: a, type: night, depends_on: [b], policy: default}  #! MKG032\n"
    + "  - {name: b, type: night, depends_on: [a], policy: default}\n"
    + "  - {name: c, type: night, depends_on: [d], policy: default}  #! MKG032\n"
    + "  - {name: d, type: night, depends_on: [c], policy: default}",
}

CONFIGS = {
    "unknown field": HEAD + "stages:\n  - name: a\n    type: ingest\n    config:\n      adaptor: auto  #! MKG011",
    "a field where none is": HEAD + "stages:\n  - {name: a, type: poll, config: {x: 1}}  #! MKG011",
    "a missing field": HEAD + "stages:\n  - name: a\n    type: required\n    config: {size: 2}  #! MKG012",
    "a missing field, without config": HEAD + "stages:\n  - {name: a, type: required}  #! MKG012",
    "several at once": HEAD
    + "stages:\n  - {name: i, type: ingest}\n  - {name: p, type: parse, depends_on: [i]}\n  - name: c\n"
    + "    type: chunk\n    depends_on: [p]\n    config:\n      max_tokens: 0  #! MKG013\n      labl: x  #! MKG011\n"
    + "      window:\n        size: none  #! MKG013\n      windows:\n        - {size: 3}\n        - {sise: 3}  #! MKG011\n",
    "no branch of a union": HEAD
    + "stages:\n  - name: a\n    type: required\n    config:\n      target: t\n      size: big  #! MKG013",
    "a wrong item in a union": HEAD
    + "stages:\n  - name: a\n    type: required\n    config:\n      target: t\n      size:\n"
    + "        - 1\n        - two  #! MKG013",
    "a config that cannot be completed": HEAD
    + FLOW
    + "  - {name: hold, type: gate}  #! MKG040\ngates:\n  - {name: g, condition: {field: g}}",
    "a config refused while it is completed": HEAD
    + "stages:\n  - {name: a, type: bounds, config: {low: 5}}  #! MKG013",
    "a validator that raises": HEAD + "stages:\n  - {name: a, type: hostile, config: {mood: angry}}  #! MKG041",
    "a validator that ends the process": HEAD
    + "stages:\n  - {name: a, type: hostile, config: {mood: exit}}  #! MKG041",
    "a configure that raises": HEAD + "stages:\n  - {name: a, type: crash}  #! MKG041",
    "a configure that never returns": HEAD + "stages:\n  - {name: a, type: recurse}  #! MKG041",
    "a configure that returns nothing": HEAD + "stages:\n  - {name: a, type: nothing}  #! MKG041",
    "unknown condition": HEAD
    + "stages:\n  - {name: a, type: gate, config: {gate: h}}  #! MKG042\n"
    + "gates:\n  - {name: g, condition: {field: g}}",
    "unknown condition, and none there": HEAD + "stages:\n  - {name: a, type: gate, config: {gate: h}}  #! MKG042",
    "unknown condition in a list": HEAD
    + "stages:\n  - name: a\n    type: mix\n    config:\n      waits:\n        - g\n        - h  #! MKG042\n"
    + "gates:\n  - {name: g, condition: {field: g}}",
    "unknown plugin": HEAD + "stages:\n  - {name: a, type: ingest, config: {adapter: atuo}}  #! MKG043",
    "a plugin claimed twice": HEAD + "stages:\n  - {name: a, type: ingest, config: {adapter: shared}}  #! MKG043",
    "unknown plugins everywhere": HEAD
    + "stages:\n  - name: a\n    type: mix\n    config:\n      first: no-1  #! MKG043\n      several:\n        - auto\n"
    + "        - no-2  #! MKG043\n      named:\n        x: no-3  #! MKG043\n      inner:\n        adapter: no-4  #! MKG043",
}

WIRING = {
    "nothing upstream": HEAD + FLOW + "  - {name: c, type: embed, depends_on: [parse]}  #! MKG050",
    "a writer beside": HEAD + FLOW + "  - {name: c, type: chunk, depends_on: [ingest]}  #! MKG050",
    "a writer behind": HEAD
    + "stages:\n  - {name: i, type: ingest}\n  - {name: c, type: chunk, depends_on: [i]}  #! MKG050\n"
    + "  - {name: p, type: parse, depends_on: [c]}",
    "no writer installed": HEAD + FLOW + "  - {name: o, type: orphan, depends_on: [parse]}  #! MKG050",
    "no feed": HEAD + "stages:  #! MKG055\n  - {name: p, type: parse}  #! MKG050",
    "parallel writers": HEAD
    + FLOW
    + "  - {name: x, type: chunk, depends_on: [parse]}\n  - {name: y, type: chunk, depends_on: [parse]}  #! MKG051",
    "three parallel writers": HEAD
    + FLOW
    + "  - {name: x, type: chunk, depends_on: [parse]}\n  - {name: y, type: chunk, depends_on: [parse]}  #! MKG051\n"
    + "  - {name: z, type: chunk, depends_on: [parse]}  #! MKG051",
    "another type": HEAD
    + FLOW
    + "  - {name: c, type: chunk, depends_on: [parse]}\n  - {name: l, type: long-chunks, depends_on: [c]}  #! MKG052",
    "another type, optional": HEAD
    + FLOW
    + "  - {name: c, type: chunk, depends_on: [parse]}\n  - {name: l, type: maybe-long, depends_on: [c]}  #! MKG052",
    "two streams": HEAD + FLOW + "  - {name: b, type: poll}  #! MKG053",
    "a stream that waits": HEAD + "stages:\n  - {name: a, type: night, policy: default}\n"
    "  - {name: i, type: ingest, depends_on: [a]}  #! MKG054",
    "an unused condition": HEAD + FLOW + "gates:\n  - {name: g, condition: {field: g}}  #! MKG060",
    "resume at no stage": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, resume_stage: prse, condition: {field: g}}  #! MKG061",
    "resume before the wait": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate, depends_on: [parse]}\n"
    + "gates:\n  - {name: g, resume_stage: parse, condition: {field: g}}  #! MKG062",
    "a schedule no clock keeps": HEAD + "schedule: 0 3 31 2 *  #! MKG071\n" + FLOW,
    "a zone nobody lives in": HEAD + "schedule: {cron: 0 3 * * *, timezone: Moon}  #! MKG071\n" + FLOW,
}

DOUBT = {
    "no wrong conclusion from an unknown type": HEAD
    + "stages:\n  - {name: i, type: ingest}\n  - {name: p, type: pasre, depends_on: [i]}  #! MKG020\n"
    + "  - {name: c, type: chunk, depends_on: [p]}\n",
    "nor from an unknown dependency": HEAD
    + FLOW
    + "  - {name: c, type: chunk, depends_on: [prase]}  #! MKG030\n  - {name: e, type: embed, depends_on: [c]}",
    "nor from a stage that cannot be read": HEAD
    + "stages:\n  - {name: i, type: ingest}\n  - {name: p, depends_on: [i]}  #! MKG012\n"
    + "  - {name: c, type: chunk, depends_on: [p]}",
    "nor from a gate that cannot be read": HEAD
    + FLOW
    + "  - {name: gate_g, type: gate}\ngates:\n  - {name: g, resume_stage: nowhere}  #! MKG012 MKG061",
    "nor about conditions from a config that is wrong": HEAD
    + "stages:\n  - {name: a, type: gate, config: {gat: g}}  #! MKG011\ngates:\n  - {name: g, condition: {field: g}}",
}

TABLE = {
    f"{kind}: {name}": text
    for kind, table in (
        ("shape", SHAPES),
        ("name", NAMES),
        ("reference", REFERENCES),
        ("config", CONFIGS),
        ("wiring", WIRING),
        ("doubt", DOUBT),
    )
    for name, text in table.items()
}


def expected(text: str) -> list[tuple[int, str]]:
    lines = enumerate(text.split("\n"), start=1)
    return sorted((number, code) for number, line in lines for code in re.findall(r"MKG\d{3}", line.partition("#!")[2]))


@pytest.mark.parametrize("text", TABLE.values(), ids=TABLE.keys())
def test_a_wrong_file_gives_just_its_problems(text: str, run_check: Check) -> None:
    """Every problem is found at once, on its line, and nothing else is."""
    result = run_check(text)
    assert sorted((problem.line, problem.code) for problem in result.problems) == expected(text)
    assert result.ok == (not result.errors)
    lines = text.split("\n")
    for problem in result.problems:
        assert problem.text == lines[problem.line - 1]
        assert 1 <= problem.column <= len(problem.text)
        assert "Traceback" not in str(problem)
        assert str(problem).startswith(f"<text>:{problem.line}:{problem.column}: {problem.severity} {problem.code}: ")


UNREADABLE = {
    "nothing": ("", "MKG010", 1, 1),
    "only a comment": ("# nothing here\n", "MKG010", 1, 1),
    "null": ("~", "MKG010", 1, 1),
    "a list": ("- a\n- b", "MKG010", 1, 1),
    "a word": ("pipeline", "MKG010", 1, 1),
    "two documents": ("---\nname: a\n---\nname: b\n", "MKG005", 3, 1),
    "a tab for indentation": ("name: a\nstages:\n\t- x", "MKG004", 3, 1),
    "an open list": ("name: a\nstages: [x, y\n", "MKG004", 2, 9),
    "an open text": ("name: 'a\n", "MKG004", 1, 7),
    "two colons": ("name: a: b\n", "MKG004", 1, 8),
    "an at sign": ("name: @a\n", "MKG004", 1, 7),
    "a stray bracket": ("name: a\n]", "MKG004", 2, 1),
    "an unknown escape": ('name: "\\z"', "MKG004", 1, 8),
    "another version of YAML": ("%YAML 3.0\n---\nname: a", "MKG004", 1, 1),
    "an alias of nothing": ("name: *a", "MKG007", 1, 7),
    "an alias in itself": ("name: &a [x, *a]", "MKG007", 1, 14),
    "a Python tag": ("name: !!python/object/apply:os.system [ls]", "MKG009", 1, 7),
    "a tag of one's own": ("name: !env HOME", "MKG009", 1, 7),
    "a number by tag": ("name: !!int '3'", "MKG009", 1, 7),
    "a merge key": ("a: &a {x: 1}\nb:\n  <<: *a", "MKG009", 3, 3),
    "a list as key": ("? [a]\n: b", "MKG009", 1, 3),
    "an alias as key": ("a: &a x\n*a : b", "MKG009", 2, 1),
    "a control character": ("name: a\nx: b\x07c", "MKG003", 2, 5),
    "half a character": ("name: \ud800", "MKG003", 1, 7),
    "very deep": ("[" * 100_000, "MKG008", 1, 33),
    "very many": ("a: [" + "x," * 20_000 + "]", "MKG008", 1, 20_001),
    "very large": ("#" * 1_100_000, "MKG002", 1, 1),
    "billion laughs": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 10)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
        "MKG008",
        1,
        None,
    ),
    "deep by aliases": ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 40)), "MKG008", 1, 10),
}


@pytest.mark.parametrize(("text", "code", "line", "column"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_text_that_cannot_be_read_gives_one_problem(
    text: str, code: str, line: int, column: int | None, run_check: Check
) -> None:
    """The one problem has its place, and nothing is raised however the text is made."""
    (problem,) = run_check(text).problems
    assert (problem.code, problem.line) == (code, line)
    assert column in (None, problem.column)
    assert len(str(problem)) < 1000


FILES = {
    "latin-1": (b"name: caf\xe9", "MKG003", 1, 10),
    "UTF-16": ("name: a".encode("utf-16"), "MKG003", 1, 1),
    "too large": (b"#" * 1_100_000, "MKG002", 1, 1),
    "random bytes": (bytes(range(256)), "MKG003", 3, 115),
}


@pytest.mark.parametrize(("data", "code", "line", "column"), FILES.values(), ids=FILES.keys())
def test_bytes_that_are_no_text_give_one_problem(
    data: bytes, code: str, line: int, column: int, run_check: Check, tmp_path: Path
) -> None:
    """Encodings other than UTF-8 and files beyond the limit are refused with a place."""
    path = tmp_path / "p.yaml"
    path.write_bytes(data)
    (problem,) = run_check(path).problems
    assert (problem.code, problem.line, problem.file) == (code, line, str(path))


def test_a_file_that_cannot_be_opened_gives_one_problem(run_check: Check, tmp_path: Path) -> None:
    """A missing file and a folder are problems too."""
    for path in (tmp_path / "absent.yaml", tmp_path):
        (problem,) = run_check(path).problems
        assert problem.code == "MKG001"


def test_the_tables_cover_every_code_of_the_check() -> None:
    """Each kind of problem that a check can find stands in a table (the rest is the catalog's and the overrides')."""
    covered = {code for text in TABLE.values() for _, code in expected(text)}
    covered |= {row[1] for row in (*UNREADABLE.values(), *FILES.values())} | {"MKG001"}
    assert covered == set(KINDS) - {"MKG080", "MKG081", "MKG082"}
    assert len(TABLE) + len(UNREADABLE) >= 60
