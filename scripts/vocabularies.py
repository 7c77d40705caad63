"""Makes the shipped vocabularies from the sources that their NOTICE.md names: ``python scripts/vocabularies.py FOLDER``."""

from __future__ import annotations

import csv
import json
import lzma
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "medical_kg" / "vocabularies" / "data"
CROSSWALKS = {"MESH": "MESH", "UMLS_CUI": "UMLS", "OMIM": "OMIM", "NCI": "NCIT", "ICD10CM": "ICD10CM", "ORDO": "ORPHA"}


def main() -> None:
    """Write both tables."""
    folder = Path(sys.argv[1])
    _write("doid.tsv.xz", _diseases(folder / "doid.json.xz"))
    _write("hgnc.tsv.xz", _genes(folder / "hgnc_entries.tsv.xz"))


def _diseases(path: Path) -> Iterator[list[str]]:
    with lzma.open(path, "rt", encoding="utf-8") as stream:
        terms = json.load(stream)
    for term in terms:
        xrefs = [
            f"{CROSSWALKS[ref['namespace']]}:{ref['id']}"
            for ref in term.get("xrefs", ())
            if ref["namespace"] in CROSSWALKS
        ]
        parents = term.get("relations", {}).get("is_a", ())
        yield [term["id"], term["name"], _cell(term.get("synonyms", ())), _cell(xrefs), _cell(parents)]


def _genes(path: Path) -> Iterator[list[str]]:
    with lzma.open(path, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["Status"] != "Approved":
                continue
            names = [row["Approved symbol"], *_split(row["Alias symbols"]), *_split(row["Previous symbols"])]
            entrez, ensembl = row["NCBI Gene ID(supplied by NCBI)"], row["Ensembl gene ID"]
            xrefs = [f"{prefix}:{one}" for prefix, one in (("NCBIGENE", entrez), ("ENSEMBL", ensembl)) if one]
            yield [row["HGNC ID"], row["Approved symbol"], _cell([row["Approved name"], *names[1:]]), _cell(xrefs), ""]


def _split(cell: str) -> list[str]:
    return [one.strip() for one in cell.split(",") if one.strip()]


def _cell(values: Iterable[str]) -> str:
    return "|".join(dict.fromkeys(value.replace("|", "/").replace("\t", " ") for value in values))


def _write(name: str, rows: Iterable[list[str]]) -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(row) + "\n" for row in rows)
    packed = lzma.compress(text.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME)
    (TARGET / name).write_bytes(packed)
    sys.stdout.write(f"{name}: {text.count(chr(10)):,} concepts, {len(packed):,} bytes\n")


if __name__ == "__main__":
    main()
