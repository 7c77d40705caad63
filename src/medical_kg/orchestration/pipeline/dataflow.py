"""The stages together: who reads what from whom, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import near
from medical_kg.orchestration.pipeline.advice import add_writer, feeders
from medical_kg.orchestration.pipeline.plan import Binding
from medical_kg.orchestration.pipeline.wiring import Graph, ancestors, cycles, last_writers, parallel_to

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.pipeline.draft import GateDraft
    from medical_kg.orchestration.pipeline.problems import Problem
    from medical_kg.orchestration.pipeline.stages import Node
    from medical_kg.orchestration.pipeline.tree import Tree
    from medical_kg.orchestration.registry import Registry, StageType


@dataclass(slots=True)
class Wiring:
    """The stages that can be put in order (none in or behind a cycle), and who writes which key.

    ``above`` has every stage's ancestors, in plan order; ``written`` the stages that write a key, in plan order, with
    the key as each declares it; ``trusted`` the stages of which, and of whose ancestors, nothing is in doubt.
    """

    nodes: dict[str, Node]
    graph: Graph
    above: dict[str, frozenset[str]]
    written: dict[str, dict[str, StateKey[Any]]] = field(default_factory=dict)
    trusted: frozenset[str] = frozenset()

    def bind(self, name: str, key: StateKey[Any]) -> Binding:
        """Return where a stage's read of a key comes from."""
        return Binding(key, last_writers(name, list(self.written.get(key.name, ())), self.above))

    def unsatisfied(self, name: str) -> list[StateKey[Any]]:
        """Return the keys that a stage must read and nothing upstream writes."""
        type_ = self.nodes[name].type
        if type_ is None or name not in self.trusted:
            return []
        needed = (key for key in type_.metadata.read_keys if key not in type_.metadata.optional_keys)
        return [key for key in needed if not self.bind(name, key).writers]


def wire(nodes: Iterable[Node]) -> Wiring:
    """Return the wiring of the stages; of two with one name the first counts."""
    named: dict[str, Node] = {}
    for node in nodes:
        if node.name:
            named.setdefault(node.name, node)
    graph = {name: node.depends_on for name, node in named.items()}
    wiring = Wiring(named, graph, ancestors(graph))
    for name in wiring.above:
        type_ = named[name].type
        for key in type_.metadata.writes if type_ else ():
            wiring.written.setdefault(key.name, {})[name] = key
    doubtful = {name for name, node in named.items() if not node.sound}
    wiring.trusted = frozenset(
        name for name, above in wiring.above.items() if name not in doubtful and not above & doubtful
    )
    return wiring


def check_cycles(wiring: Wiring, tree: Tree) -> list[Problem]:
    """Return a problem for each cycle, shown."""
    problems = []
    for cycle in cycles(wiring.graph):
        draft = wiring.nodes[cycle[0]].draft
        path = (*draft.path, "depends_on", draft.depends_on.index(cycle[-1]))
        shown = " -> ".join((*cycle, cycle[0]))
        message = f"these stages wait for each other in a circle: {shown}"
        problems.append(tree.problem("MKG032", message, path, "take one of them out of a depends_on"))
    return problems


def check_reads(wiring: Wiring, registry: Registry[StageType], tree: Tree) -> list[Problem]:
    """Return problems with reads: that nothing upstream writes, or that are written as another type."""
    problems: list[Problem] = []
    for name in wiring.above:
        for key in wiring.unsatisfied(name):
            path = (*wiring.nodes[name].draft.path, "name")
            message = f"stage {name!r} reads {key.name!r}, which no stage upstream of it writes"
            problems.append(tree.problem("MKG050", message, path, add_writer(key, name, wiring, registry)))
        problems += _misfits(name, wiring, tree)
    if problems and _unfed(wiring):
        problems.append(_no_feed(registry, tree))
    return problems


def _misfits(name: str, wiring: Wiring, tree: Tree) -> list[Problem]:
    node, problems = wiring.nodes[name], []
    for key in node.type.metadata.read_keys if node.type else ():
        for writer in wiring.bind(name, key).writers:
            given = wiring.written[key.name][writer]
            if not key.accepts(given):
                line = tree.place(wiring.nodes[writer].draft.path).line
                message = f"stage {name!r} reads {str(key)!r}, but {writer!r} on line {line} writes {str(given)!r}"
                advice = "use stage types whose types of this key fit"
                problems.append(tree.problem("MKG052", message, (*node.draft.path, "type"), advice))
    return problems


def _unfed(wiring: Wiring) -> bool:
    return not any(node.type is None or _is_stream(node) for node in wiring.nodes.values())


def _no_feed(registry: Registry[StageType], tree: Tree) -> Problem:
    found = feeders(registry)
    advice = f"begin with a stage of type {' or '.join(map(repr, found))}" if found else "install a type that feeds one"
    return tree.problem("MKG055", "no stage feeds this pipeline", ("stages",), advice, key=True)


def check_writes(wiring: Wiring, tree: Tree) -> list[Problem]:
    """Return a problem for each stage that writes a ``forbid`` key beside an earlier one that is parallel to it."""
    problems = []
    for key, written in wiring.written.items():
        # Two stages that feed the pipeline are a problem of their own.
        writers = [name for name in written if name in wiring.trusted and not _is_stream(wiring.nodes[name])]
        for position, name in enumerate(writers):
            rivals = parallel_to(name, writers[:position], wiring.above)
            clashing = [rival for rival in rivals if "forbid" in (written[rival].merge, written[name].merge)]
            if clashing:
                problems.append(_parallel(key, clashing[0], name, wiring, tree))
    return problems


def _parallel(key: str, first: str, second: str, wiring: Wiring, tree: Tree) -> Problem:
    line = tree.place((*wiring.nodes[first].draft.path, "name")).line
    path = (*wiring.nodes[second].draft.path, "name")
    message = (
        f"stages {first!r} (line {line}) and {second!r} (line {tree.place(path).line}) both write {key!r} on parallel "
        "branches, and the key's merge rule forbids that"
    )
    return tree.problem("MKG051", message, path, f"let one depend on the other, or declare {key!r} with merge='append'")


def check_streams(nodes: Sequence[Node], tree: Tree) -> list[Problem]:
    """Return problems with the stages that feed the pipeline: more than one, or one that waits for another."""
    problems = []
    streams = [node for node in nodes if _is_stream(node)]
    for node in streams[1:]:
        first = streams[0].draft
        message = f"stage {node.draft.label} feeds the pipeline, as {first.label} on line {tree.place(first.path).line}"
        advice = "keep one; put the other source in a pipeline of its own"
        problems.append(tree.problem("MKG053", f"{message} does already", (*node.draft.path, "type"), advice))
    for node in streams:
        if node.draft.depends_on:
            message = f"stage {node.draft.label} feeds the pipeline, so it cannot depend on other stages"
            path = (*node.draft.path, "depends_on")
            problems.append(tree.problem("MKG054", message, path, "remove its depends_on", key=True))
    return problems


def _is_stream(node: Node) -> bool:
    return node.type is not None and node.type.metadata.mode == "stream"


def check_gates(gates: Sequence[GateDraft], nodes: Sequence[Node], wiring: Wiring, tree: Tree) -> list[Problem]:
    """Return problems with conditions: unused, or with a ``resume_stage`` that is no stage after the wait."""
    problems: list[Problem] = []
    certain = all(node.configured for node in nodes)
    for gate in gates:
        users = [node.name for node in nodes if gate.name in node.conditions]
        if not users and certain:
            message = f"no stage refers to the condition {gate.name!r}"
            advice = "remove it, or name it in the config of the stage that is to wait"
            problems.append(tree.problem("MKG060", message, (*gate.path, "name"), advice))
        problems += _resume(gate, users, wiring, tree)
    return problems


def _resume(gate: GateDraft, users: list[str], wiring: Wiring, tree: Tree) -> list[Problem]:
    stage, path = gate.resume_stage, (*gate.path, "resume_stage")
    if stage is None:
        return []
    if stage not in wiring.nodes:
        message = f"gate {gate.name!r} resumes at {stage!r}, which is no stage of this pipeline"
        return [tree.problem("MKG061", message, path, near(stage, wiring.nodes))]
    if not users or stage not in wiring.trusted or wiring.above[stage].intersection(users):
        return []
    message = f"gate {gate.name!r} resumes at {stage!r}, which does not come after {' or '.join(map(repr, users))}"
    after = [name for name in wiring.above if wiring.above[name].intersection(users)]
    advice = f"after it come: {', '.join(after)}" if after else "no stage comes after it"
    return [tree.problem("MKG062", message, path, advice)]
