"""Each format says the whole graph, in the grammar of its readers, whatever the texts hold."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from itertools import chain, count, islice
from types import ModuleType

import pytest
from lxml import etree

from medical_kg.graphs import cypher, dot, graphml, mermaid, rdf
from medical_kg.graphs.parts import EDGE_COLUMNS, NODE_COLUMNS, address
from medical_kg.stores.contract import Edge, Node

GRAPHML = "{http://graphml.graphdrawing.org/xmlns}"
# The elements and attributes of the GraphML primer that a simple directed graph with attributes uses.
GRAMMAR = """
<element name="graphml" ns="http://graphml.graphdrawing.org/xmlns" xmlns="http://relaxng.org/ns/structure/1.0"
         datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <attribute name="schemaLocation" ns="http://www.w3.org/2001/XMLSchema-instance"/>
  <zeroOrMore><element name="key">
    <attribute name="id" ns=""><data type="NMTOKEN"/></attribute>
    <attribute name="for" ns=""><choice><value>node</value><value>edge</value></choice></attribute>
    <attribute name="attr.name" ns=""><data type="NMTOKEN"/></attribute>
    <attribute name="attr.type" ns=""><choice><value>int</value><value>double</value><value>string</value></choice></attribute>
  </element></zeroOrMore>
  <element name="graph">
    <attribute name="id" ns=""/><attribute name="edgedefault" ns=""><value>directed</value></attribute>
    <zeroOrMore><choice>
      <element name="node"><attribute name="id" ns=""/>
        <zeroOrMore><element name="data"><attribute name="key" ns=""/><text/></element></zeroOrMore></element>
      <element name="edge"><attribute name="source" ns=""/><attribute name="target" ns=""/>
        <zeroOrMore><element name="data"><attribute name="key" ns=""/><text/></element></zeroOrMore></element>
    </choice></zeroOrMore>
  </element>
</element>
"""
IRI = r'<urn:[^\x00-\x20<>"{}|^`\\]*>|<https?:[^\x00-\x20<>"{}|^`\\]*>'
LITERAL = rf'"(?:[^"\\\n\r]|\\[tbnrf"\'\\])*"(?:\^\^(?:{IRI}))?'
TRIPLE = re.compile(rf"(?P<s>{IRI}) (?P<p>{IRI}) (?P<o>{IRI}|{LITERAL}) \.")
"""The grammar of https://www.w3.org/TR/n-triples/ without blank nodes and languages."""
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def text(module: ModuleType, nodes: list[Node], edges: list[Edge]) -> str:
    return "\n".join(module.lines(chain(nodes, edges)))


def test_graphml_keeps_to_its_schema(nodes: list[Node], edges: list[Edge]) -> None:
    """Elements and attributes are GraphML's; ids are unique, ends and keys lead somewhere."""
    root = etree.fromstring(text(graphml, nodes, edges).encode())
    etree.RelaxNG(etree.fromstring(GRAMMAR)).assertValid(root)
    idents = [node.get("id") for node in root.iter(f"{GRAPHML}node")]
    assert idents == ["mesh:D006333", "pmid:1", "drug:drug x"]
    ends = {edge.get(end) for edge in root.iter(f"{GRAPHML}edge") for end in ("source", "target")}
    assert ends <= set(idents)
    keys = {key.get("id"): key.get("for") for key in root.iter(f"{GRAPHML}key")}
    assert len(keys) == len(NODE_COLUMNS) + len(EDGE_COLUMNS)
    for data in root.iter(f"{GRAPHML}data"):
        parent = data.getparent()
        assert parent is not None
        assert keys[data.get("key")] == etree.QName(parent).localname


def test_graphml_says_what_supports_an_edge(nodes: list[Node], edges: list[Edge]) -> None:
    """Every edge has its document, sentence, polarity, stage, method and confidence; texts come back as they were."""
    root = etree.fromstring(text(graphml, nodes, edges).encode())
    told = [
        {str(data.get("key")): data.text for data in edge.iter(f"{GRAPHML}data")}
        for edge in root.iter(f"{GRAPHML}edge")
    ]
    assert len(told) == 4
    assert {
        name: told[0][f"edge_{name}"] for name in ("document", "sentence", "polarity", "stage", "method", "confidence")
    } == {
        "document": "pmid:1",
        "sentence": "\N{GRINNING FACE} Drug X for heart failure.",
        "polarity": "affirmed",
        "stage": "extract 2.1.0",
        "method": "dictionary",
        "confidence": "0.8",
    }
    assert told[3]["edge_sentence"] == edges[3].sentence.replace("\x01", "\ufffd")
    assert told[3]["edge_polarity"] == "negated"


def test_rdf_keeps_to_its_grammar(nodes: list[Node], edges: list[Edge]) -> None:
    """Every line is one N-Triples statement."""
    lines = list(rdf.lines(chain(nodes, edges)))
    assert [line for line in lines if not TRIPLE.fullmatch(line)] == []
    own = "urn:medical-kg:"
    assert f"<{own}node:drug:drug%20x> <{own}predicate:treats> <{own}node:mesh:D006333> ." in lines
    assert sum(line.endswith('confidence> "0.8"^^<http://www.w3.org/2001/XMLSchema#double> .') for line in lines) == 4
    assert sum("seeAlso> <https://doi.org/10.1/a%20b> ." in line for line in lines) == 1


def test_rdf_does_not_assert_what_a_document_denies(nodes: list[Node], edges: list[Edge]) -> None:
    """What is denied is a statement with its polarity, and no triple of the graph."""
    lines = list(rdf.lines(edges[3:]))
    assert not any(line.startswith("<urn:medical-kg:node:") for line in lines)
    assert sum('term:polarity> "negated" .' in line for line in lines) == 1


def test_dot_quotes_every_text(nodes: list[Node], edges: list[Edge]) -> None:
    """Outside quotation marks stand only names and signs of the language; denial is dashed."""
    lines = text(dot, nodes, edges).splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("digraph graph_ {", "}", 4 + 3 + 4 + 1)
    for line in lines[4:-1]:
        assert re.fullmatch(r'  "" (-> "" )?\[(\w+=(""|\w+)(, )?)+\];', QUOTED.sub('""', line))
    assert "style=dashed" in lines[-2]
    assert '"pmid:1" [label="</script>' in lines[5]


def test_mermaid_draws_each_statement_once(nodes: list[Node], edges: list[Edge]) -> None:
    """Nodes have names Mermaid reads and quoted labels; what two documents state is one arrow, denial is said."""
    lines = text(mermaid, nodes, edges).splitlines()
    assert lines[0] == "flowchart LR"
    name = {node.id: "n" + hashlib.blake2b(node.id.encode(), digest_size=6).hexdigest() for node in nodes}
    assert lines[1] == f'    {name["mesh:D006333"]}["Heart Failure"]'
    label = lines[2].removeprefix(f'    {name["pmid:1"]}["').removesuffix('"]')
    assert not set('"<>&`\\\x01') & set(label)
    assert label.startswith("#60;/script#62;")
    assert lines[4:] == [
        f'    {name["drug:drug x"]} -->|"treats"| {name["mesh:D006333"]}',
        f'    {name["mesh:D006333"]} -->|"resembles"| {name["mesh:D006333"]}',
        f'    {name["pmid:1"]} -.->|"mentions_as_absent (denied)"| {name["mesh:D006333"]}',
    ]


def test_cypher_is_statements_that_may_run_again(nodes: list[Node], edges: list[Edge]) -> None:
    """Nodes come before edges, by kind and predicate; all is merged by id and root; texts are literals."""
    script = text(cypher, nodes, edges)
    bare = QUOTED.sub('""', script)
    assert bare.count(";") == 1 + 3 + 3
    assert "CREATE " not in bare.removeprefix("CREATE CONSTRAINT")
    assert re.findall(r"SET node:(`\w+`)|\[edge:(`\w+`)", bare) == [
        ("`condition`", ""),
        ("`article`", ""),
        ("`drug`", ""),
        ("", "`treats`"),
        ("", "`resembles`"),
        ("", "`mentions_as_absent`"),
    ]
    literals = [json.loads(literal) for literal in QUOTED.findall(script)]
    assert nodes[1].name in literals
    assert literals.count("pmid:2") == 1


def test_cypher_holds_no_escape_of_a_text() -> None:
    """Some releases read escapes by number before all else: none of a text's own ends a quotation."""
    odd = Node(id="x", kind="a`b\\u0060c", name="n\\u0022; \\\\u0022")
    script = text(cypher, [odd], [])
    assert "SET node:`a``b/u0060c`," in script
    assert 'name: "n\\\\" + "u0022; \\\\\\\\" + "u0022"' in script


def endless(node: Node) -> Iterator[Node]:
    return (node.model_copy(update={"id": f"x:{number}"}) for number in count())


@pytest.mark.parametrize(
    "module", [graphml, rdf, dot, mermaid, cypher], ids=lambda module: module.__name__.rpartition(".")[2]
)
def test_a_graph_is_written_as_it_is_read(module: ModuleType, nodes: list[Node]) -> None:
    """A writer holds no more than a few hundred nodes: it gives lines of a graph that never ends."""
    assert len(list(islice(module.lines(endless(nodes[0])), 3))) == 3


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("nct:NCT01", "https://clinicaltrials.gov/study/NCT01"),
        ("pmcid:PMC5", "https://pmc.ncbi.nlm.nih.gov/articles/PMC5/"),
        ("doi:10.1/<a>?b", "https://doi.org/10.1/%3Ca%3E%3Fb"),
        ("https://example.org/x", "https://example.org/x"),
        ("http://[", "http://["),
        ("javascript:alert(1)", ""),
        ("JavaScript:alert(1)", ""),
        ("condition:heart failure", ""),
        ("plain", ""),
    ],
)
def test_addresses_are_pages_or_nothing(identifier: str, expected: str) -> None:
    """An identifier leads to its page, an address to itself if it is safe to open."""
    assert address(identifier) == expected
