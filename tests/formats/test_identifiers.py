"""Identifiers in one spelling each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from medical_kg.formats import identifiers as ids


@pytest.mark.parametrize(
    ("make", "text", "expected"),
    [
        (ids.doi_id, "https://doi.org/10.7554/eLife.00240", "doi:10.7554/elife.00240"),
        (ids.doi_id, " 10.1000/X(1)2 ", "doi:10.1000/x(1)2"),
        (ids.doi_id, "11.1000/x", ""),
        (ids.pmid_id, " 00123 ", "pmid:123"),
        (ids.pmid_id, "https://pubmed.ncbi.nlm.nih.gov/9757107/", "pmid:9757107"),
        (ids.pmid_id, "²", ""),
        (ids.pmid_id, "PMC1", ""),
        (ids.pmcid_id, "2590599", "pmcid:PMC2590599"),
        (ids.pmcid_id, "PMC1.2", "pmcid:PMC1"),
        (ids.pmcid_id, "https://www.ncbi.nlm.nih.gov/pmc/articles/5815332", "pmcid:PMC5815332"),
        (ids.pmcid_id, "doi", ""),
        (ids.nct_id, " nct01234567", "nct:NCT01234567"),
        (ids.nct_id, "NCT", ""),
        (ids.mesh_id, "D003920", "mesh:D003920"),
        (ids.mesh_id, "", ""),
        (ids.openalex_id, "https://openalex.org/W1995017064", "openalex:W1995017064"),
        (ids.openalex_id, "https://openalex.org/keywords/x", ""),
        (ids.substance_id, "56-65-5", "cas:56-65-5"),
        (ids.substance_id, "EC 1.1.1.1", "ec:1.1.1.1"),
        (ids.substance_id, "R16CO5Y76E", "unii:R16CO5Y76E"),
        (ids.substance_id, "0", ""),
    ],
)
def test_one_spelling_each(make: Callable[[str], str], text: str, expected: str) -> None:
    """What is an identifier gets its prefix and one spelling, so that it joins; anything else gives nothing."""
    assert make(text) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("D000004487", "mesh:D004487"), ("D000066331", "mesh:D066331"), ("D000066388", "mesh:D000066388")],
)
def test_padded_mesh_descriptors_meet_the_real_ones(given: str, expected: str) -> None:
    """A descriptor that ClinicalTrials.gov pads to nine digits is the six-digit one; a real nine-digit one stays."""
    assert ids.mesh_id(given) == expected
