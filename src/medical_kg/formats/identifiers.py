"""Prefixed identifiers of biomedical records, in one spelling each so that they join; "" where the text is not one."""

from __future__ import annotations

import re

DOI = re.compile(r"10\.\d{4,9}/\S+")
PMCID = re.compile(r"(?:PMC)?(\d+)(?:\.\d+)?", re.IGNORECASE)
NCT = re.compile(r"NCT\d+", re.IGNORECASE)
MESH = re.compile(r"[A-Z]\d+")
CAS = re.compile(r"\d{2,7}-\d{2}-\d")
UNII = re.compile(r"[0-9A-Z]{10}")


def doi_id(text: str) -> str:
    """Return ``doi:10.…`` in lower case (a DOI's case carries no meaning), from a DOI or an address of one."""
    found = DOI.search(text)
    return f"doi:{found.group().lower()}" if found else ""


def pmid_id(text: str) -> str:
    """Return ``pmid:…`` from a PubMed number or an address that ends in one."""
    digits = text.strip().rstrip("/").rsplit("/", 1)[-1]
    return f"pmid:{int(digits)}" if digits.isascii() and digits.isdigit() else ""


def pmcid_id(text: str) -> str:
    """Return ``pmcid:PMC…`` from a PubMed Central id with or without letters, or an address that ends in one."""
    found = PMCID.fullmatch(text.strip().rstrip("/").rsplit("/", 1)[-1])
    return f"pmcid:PMC{found.group(1)}" if found else ""


def nct_id(text: str) -> str:
    """Return ``nct:NCT…`` from a ClinicalTrials.gov number."""
    return f"nct:{text.strip().upper()}" if NCT.fullmatch(text.strip()) else ""


PADDED_DESCRIPTOR = re.compile(r"D000(\d{6})")
LAST_SHORT_DESCRIPTOR = 66331
"""MeSH numbers descriptors D000001 to D066331, then from D000066388 (MeSH 2025 descriptor file)."""


def mesh_id(text: str) -> str:
    """Return ``mesh:D…`` or ``mesh:C…`` from a MeSH unique identifier.

    ClinicalTrials.gov pads six-digit descriptors to nine (D000004487 is MeSH's D004487), which would keep trials and
    citations apart in the graph. Real nine-digit descriptors begin where the six-digit ones end.
    """
    ident = text.strip()
    if not MESH.fullmatch(ident):
        return ""
    padded = PADDED_DESCRIPTOR.fullmatch(ident)
    return f"mesh:D{padded[1]}" if padded and int(padded[1]) <= LAST_SHORT_DESCRIPTOR else f"mesh:{ident}"


def openalex_id(text: str) -> str:
    """Return ``openalex:W…`` (or T, A …) from an OpenAlex id or address."""
    ident = text.strip().rsplit("/", 1)[-1].upper()
    return f"openalex:{ident}" if MESH.fullmatch(ident) else ""


def substance_id(text: str) -> str:
    """Return ``cas:…``, ``ec:…`` or ``unii:…`` from a registry number of a MEDLINE chemical ("0" stands for none)."""
    text = text.strip()
    if text.upper().startswith("EC "):
        return f"ec:{text[3:].strip()}"
    if CAS.fullmatch(text):
        return f"cas:{text}"
    return f"unii:{text}" if UNII.fullmatch(text) else ""
