"""Counts the records and structured facts in folders of input files, without using medical_kg.

The tests compare the pack's own counts with these. Standard library only; for files one trusts: it reads each file
whole and refuses nothing.

    python scripts/count_inputs.py ../shared/data ctgov/bulk jats pubmed > tests/data/expected_counts.json
"""

from __future__ import annotations

import gzip
import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

Record = tuple[str, Counter[str]]


def main(arguments: list[str]) -> int:
    """Print the counts of each folder named behind the base folder, as JSON."""
    base, *names = arguments
    table = {name: count_folder(Path(base) / name) for name in names}
    sys.stdout.write(json.dumps(table, indent=2, sort_keys=True) + "\n")
    return 0


def count_folder(folder: Path) -> dict[str, Any]:
    """Count one folder: records found, ids that are unique, and the facts of each id's last record."""
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.relative_to(folder).parts
    )
    last: dict[str, Counter[str]] = {}
    found: dict[str, int] = {}
    rejected = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        records = read(path)
        if records is None:
            rejected.append(name)
            continue
        found[name] = len(records)
        last.update(records)
    facts: Counter[str] = Counter()
    for counter in last.values():
        facts.update(counter)
    return {
        "files": found,
        "records": sum(found.values()),
        "unique": len(last),
        "facts": dict(facts),
        "rejected": rejected,
    }


def read(path: Path) -> list[Record] | None:
    """Return the records of a file; None for one that is no input."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data.lstrip()[:1] in (b"[", b"{"):
        return [study(one) for one in studies(json.loads(data))]
    root = ET.fromstring(data)  # noqa: S314  # for files one trusts, see above
    if root.tag == "PubmedArticleSet":
        return [citation(one) for one in root if one.tag == "PubmedArticle"]
    return [article(root)] if root.tag == "article" else None


def studies(value: Any) -> list[Any]:
    """Return the studies of a bulk array, an API page or a single file."""
    if isinstance(value, list):
        return value
    return list(value.get("studies", [value]))


def study(value: dict[str, Any]) -> Record:
    """Return a study's number and how many of each fact it states."""
    protocol, derived = value["protocolSection"], value.get("derivedSection", {})
    module = {
        name: protocol.get(name + "Module", {}) for name in ("conditions", "armsInterventions", "references", "design")
    }
    sponsors = protocol.get("sponsorCollaboratorsModule", {})
    counts = {
        "has_condition": len(module["conditions"].get("conditions", [])),
        "has_intervention": len(module["armsInterventions"].get("interventions", [])),
        "has_mesh_condition": len(derived.get("conditionBrowseModule", {}).get("meshes", [])),
        "has_mesh_intervention": len(derived.get("interventionBrowseModule", {}).get("meshes", [])),
        "has_phase": len(module["design"].get("phases", [])),
        "has_sponsor": int("leadSponsor" in sponsors),
        "has_collaborator": len(sponsors.get("collaborators", [])),
        "cites": sum("pmid" in one for one in module["references"].get("references", [])),
    }
    return "nct:" + protocol["identificationModule"]["nctId"], Counter(counts)


def citation(element: ET.Element) -> Record:
    """Return a citation's number and how many of each fact it states."""
    counts = {
        "has_mesh_heading": len(element.findall("MedlineCitation/MeshHeadingList/MeshHeading")),
        "has_chemical": len(element.findall("MedlineCitation/ChemicalList/Chemical")),
        "has_publication_type": len(element.findall(".//PublicationType")),
        "has_keyword": len([one for one in element.iter("Keyword") if "".join(one.itertext()).strip()]),
        "cites": sum(is_known(one) for one in element.iter("Reference"))
        + sum(one.get("RefType") == "Cites" for one in element.iter("CommentsCorrections")),
    }
    number = element.findtext("MedlineCitation/PMID", "").strip()
    return f"pmid:{number}", Counter(counts)


def is_known(reference: ET.Element) -> bool:
    """Whether a citation's reference names a PubMed number, a PMC id or a DOI."""
    kinds = ("pubmed", "doi", "pmc", "pmcid")
    return any(one.get("IdType") in kinds for one in reference.findall("ArticleIdList/ArticleId"))


def article(root: ET.Element) -> Record:
    """Return an article's best id and how many of each fact it states."""
    ids = {
        one.get("pub-id-type", ""): (one.text or "").strip() for one in root.findall("front/article-meta/article-id")
    }
    pmcid = ids.get("pmc") or ids.get("pmcid")
    ident = "pmcid:PMC" + pmcid.removeprefix("PMC") if pmcid else "doi:" + ids["doi"].lower()
    counts = {
        "has_keyword": sum(len(group.findall(".//kwd")) for group in root.findall("front/article-meta/kwd-group")),
        "cites": sum(names_an_id(one) for reference in root.iter("ref") for one in reference if is_citation(one)),
    }
    return ident, Counter(counts)


def is_citation(element: ET.Element) -> bool:
    """Whether an element is a citation inside a reference."""
    return element.tag in ("citation", "element-citation", "mixed-citation")


def names_an_id(element: ET.Element) -> bool:
    """Whether a citation names a PubMed number, a PMC id or a DOI, outright or as a link."""
    if any(one.get("pub-id-type") in ("pmid", "doi", "pmc", "pmcid") for one in element.iter("pub-id")):
        return True
    links = (one.get("{http://www.w3.org/1999/xlink}href", "") for one in element.iter("ext-link"))
    return any("doi.org/10." in link for link in links)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
