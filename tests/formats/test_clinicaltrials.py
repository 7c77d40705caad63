"""``clinicaltrials-json``: studies of ClinicalTrials.gov, API v2."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.clinicaltrials import ClinicalTrialsFormat
from medical_kg.formats.contract import BadRecord, RawRecord

FORMAT = ClinicalTrialsFormat()


def study(number: str = "NCT00000001", **modules: Any) -> dict[str, Any]:
    names = {"nctId": number, "briefTitle": f"Study {number}"}
    return {"protocolSection": {"identificationModule": names | modules.pop("names", {}), **modules}}


FULL = study(
    names={
        "officialTitle": "A Trial of Aspirin",
        "acronym": "ASP",
        "secondaryIdInfos": [{"id": "2020-001", "type": "EUDRACT_NUMBER"}, {"id": "x", "type": "OTHER"}],
    },
    descriptionModule={
        "briefSummary": "First line\nstill first.\n\nSecond \\[escaped\\].",
        "detailedDescription": "Steps:\n\n* one\n* two\n  goes on\n1. three",
    },
    conditionsModule={"conditions": ["Heart  Failure", "Pain"], "keywords": ["cardiology"]},
    designModule={"studyType": "INTERVENTIONAL", "phases": ["PHASE2", "PHASE3"], "enrollmentInfo": {"count": 12}},
    armsInterventionsModule={
        "armGroups": [{"label": "Active", "type": "EXPERIMENTAL", "description": "gets it"}, {"label": "None"}],
        "interventions": [{"type": "DRUG", "name": "Aspirin", "description": "pills", "otherNames": ["ASA"]}],
    },
    outcomesModule={"primaryOutcomes": [{"measure": "Death", "timeFrame": "1 year", "description": "any cause"}]},
    eligibilityModule={
        "eligibilityCriteria": "Inclusion:\n\n* adult",
        "sex": "ALL",
        "minimumAge": "18 Years",
        "healthyVolunteers": False,
        "studyPopulation": "Patients",
    },
    sponsorCollaboratorsModule={"leadSponsor": {"name": "NIH"}, "collaborators": [{"name": "NHLBI"}]},
    statusModule={
        "overallStatus": "COMPLETED",
        "studyFirstPostDateStruct": {"date": "2020-01-02"},
        "whyStopped": "It was done",
    },
    referencesModule={"references": [{"pmid": "123", "citation": "Doe 2019"}, {"citation": "no number"}]},
    contactsLocationsModule={"locations": [{"country": "Peru"}, {"country": "Chile"}, {"country": "Peru"}]},
)
FULL["derivedSection"] = {
    "conditionBrowseModule": {"meshes": [{"id": "D006333", "term": "Heart Failure"}]},
    "interventionBrowseModule": {"meshes": [{"id": "D001241", "term": "Aspirin"}]},
}


def records(content: bytes) -> list[RawRecord | BadRecord]:
    return list(FORMAT.records(io.BytesIO(content), "file.json"))


def parse(value: Any) -> Document:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    provenance = Provenance(source="test", uri="trials/file.json")
    return FORMAT.parse(Payload(id="nct:X", format=FORMAT.name, content=content, provenance=provenance))


ONE, TWO = json.dumps(study()), json.dumps(study("NCT00000002"))


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (ONE, [1]),
        (f"[{ONE},\n {TWO}]", [1, 2]),
        (f'{{"totalCount": 2, "studies": [{ONE}, {TWO}], "nextPageToken": "x"}}', [1, 2]),
        (f'{{"studies": [{ONE}]}}\n', [1]),
        (f"{ONE}\n\n{TWO}\n", [1, 2]),
        ("\ufeff" + ONE, [1]),
        ("[]", []),
        ('{"studies": []}', []),
    ],
    ids=["single", "array", "page", "page-on-a-line", "lines", "bom", "empty-array", "empty-page"],
)
def test_records_of_every_shape(content: str, numbers: list[int]) -> None:
    """A single study, an array, an API page and one study a line all give their studies."""
    found = records(content.encode())
    assert [record.id for record in found if isinstance(record, RawRecord)] == [f"nct:NCT0000000{n}" for n in numbers]
    assert [json.loads(record.content) for record in found if isinstance(record, RawRecord)] == [
        study(f"NCT0000000{n}") for n in numbers
    ]


def test_a_record_is_the_study_as_it_stands_in_the_file() -> None:
    """The record's bytes are cut out of the dump, not written anew."""
    odd = ONE.replace(": ", " :\t")
    assert records(f"[ {odd} , {TWO}]".encode())[0] == RawRecord("nct:NCT00000001", odd.encode())


def test_a_study_without_a_number_is_bad_and_the_rest_goes_on() -> None:
    """The NCT number is the one thing a study must have."""
    bad, good = records(f'[{{"protocolSection": {{}}}}, {TWO}]'.encode())
    assert isinstance(bad, BadRecord)
    assert bad.place == "/0"
    assert "needs an NCT number at /protocolSection/identificationModule/nctId; there is none" in bad.reason
    assert isinstance(good, RawRecord)


@pytest.mark.parametrize(
    ("head", "name", "recognised"),
    [
        (b'{"protocolSection": {}}', "a.json", True),
        (b'[\n {"x": {"nctId": "NCT1"}}', "a.json", True),
        (b'{"studies": []}', "a.json", True),
        (b'{"totalCount": 3, "studies": [ {', "a.json", True),
        (b'{"resultsSection": {}', "trials/NCT01234567.json", True),
        (b'{"id": "https://openalex.org/W1", "abstract_inverted_index": {"studies": [3]}}', "a.json", False),
        (b'{"resultsSection": {}', "NCT01234567.json.gz", True),
        (b"<protocolSection/>", "NCT01234567.json", False),
        (b'"nctId"', "a.json", False),
    ],
)
def test_sniff(head: bytes, name: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """It is JSON that speaks of studies near its beginning, or is named after one."""
    assert FORMAT.sniff(head, name) is recognised


def test_modules_become_sections() -> None:
    """Each module with text is a section; markup becomes blocks."""
    document = parse(FULL)
    assert findings(document) == []
    assert [section.title for section in document.sections] == [
        "",
        "Official title",
        "Brief summary",
        "Detailed description",
        "Conditions",
        "Keywords",
        "Study design",
        "Arms",
        "Interventions",
        "Primary outcomes",
        "Eligibility",
        "Sponsors",
        "Locations",
        "Why stopped",
    ]
    blocks = [(block.kind, document.text_of(block)) for block in document.blocks]
    assert ("paragraph", "First line still first.") in blocks
    assert ("paragraph", "Second [escaped].") in blocks
    assert [text for kind, text in blocks if kind == "list_item"][:3] == ["one", "two goes on", "1. three"]
    assert ("list_item", "Active (experimental): gets it") in blocks
    assert ("list_item", "Aspirin (drug): pills Also known as: ASA.") in blocks
    assert ("list_item", "Death [1 year]: any cause") in blocks
    assert ("list_item", "Phase: phase 2, phase 3") in blocks
    assert ("list_item", "Healthy volunteers: no") in blocks
    assert ("list_item", "Collaborator: NHLBI") in blocks
    assert ("list_item", "3 sites: Peru (2), Chile (1)") in blocks


def test_facts_point_at_their_place() -> None:
    """Each structured statement is a fact with JSON pointer, words and identifiers."""
    facts = {(fact.predicate, fact.pointer): fact for fact in parse(FULL).facts}
    assert {predicate for predicate, _ in facts} == {
        "has_condition",
        "has_intervention",
        "has_mesh_condition",
        "has_mesh_intervention",
        "has_sponsor",
        "has_collaborator",
        "has_phase",
        "has_study_type",
        "has_status",
        "cites",
    }
    condition = facts["has_condition", "/protocolSection/conditionsModule/conditions/0"]
    assert (condition.object.kind, condition.object.name, condition.evidence) == ("condition",) + ("Heart Failure",) * 2
    mesh = facts["has_mesh_condition", "/derivedSection/conditionBrowseModule/meshes/0/term"]
    assert (mesh.object.kind, mesh.object.identifiers) == ("descriptor", ("mesh:D006333",))
    cited = facts["cites", "/protocolSection/referencesModule/references/0/pmid"]
    assert (cited.object.identifiers, cited.evidence) == (("pmid:123",), "Doe 2019")


def test_what_a_trial_is_known_by() -> None:
    """Ids, dates and metadata come from the registry's own fields."""
    document = parse(FULL)
    assert document.id == "nct:NCT00000001"
    assert document.root == "nct:X"
    assert document.identifiers == ("nct:NCT00000001", "eudract:2020-001")
    assert (document.kind, document.title, document.published) == ("trial", "Study NCT00000001", "2020-01-02")
    assert document.metadata["countries"] == ["Chile", "Peru"]
    assert (document.metadata["sites"], document.metadata["sites_by_country"]) == (3, {"Chile": 1, "Peru": 2})
    assert (document.metadata["sponsor"], document.metadata["collaborators"]) == ("NIH", ["NHLBI"])
    assert document.metadata["enrollment"] == "12"


def test_a_partial_study_is_a_document() -> None:
    """Nothing but the NCT number and a title is needed."""
    document = parse(study())
    assert document.text == document.title == "Study NCT00000001"
    assert document.facts == ()
    assert findings(document) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (study(conditionsModule={"conditions": "flu"}), "conditionsModule/conditions: expected an array, found a text"),
        (study(statusModule=[1]), "at /protocolSection/statusModule: expected an object, found an array"),
        (study(names={"nctId": 7}), "nctId: expected a text, found a number"),
        (study(names={"nctId": "ISRCTN1"}), "found 'ISRCTN1'"),
        (study(designModule={"enrollmentInfo": {"count": [1]}}), "expected a text or a number, found an array"),
        (b"[1", "not JSON"),
        (b'{"a": "\\ud83d"}', "half of a surrogate pair"),
    ],
)
def test_a_refusal_names_payload_file_and_place(value: Any, reason: str) -> None:
    """What cannot be read is rejected with the payload's id, its file and the place."""
    with pytest.raises(ItemRejected) as caught:
        parse(value)
    assert str(caught.value).startswith("nct:X (trials/file.json): ")
    assert reason in str(caught.value)


def test_a_long_list_of_countries_is_cut_short() -> None:
    """Twelve are named, those with the most sites; the others are counted."""
    sites = [{"country": f"Land {number:02}"} for number in range(14)] + [{"country": "Zambia"}, {"country": "Zambia"}]
    text = parse(study(contactsLocationsModule={"locations": sites})).text
    assert "16 sites: Zambia (2), Land 00 (1), " in text
    assert text.endswith("Land 10 (1), 3 more countries")


def test_blocks_point_into_the_record() -> None:
    """Each block's JSON pointer leads to the value its words come from."""
    document = parse(FULL)
    pointers = {document.text_of(block): block.pointer for block in document.blocks}
    assert pointers["Study NCT00000001"] == "/protocolSection/identificationModule/briefTitle"
    assert pointers["First line still first."] == "/protocolSection/descriptionModule/briefSummary"
    assert pointers["Pain"] == "/protocolSection/conditionsModule/conditions/1"
    assert pointers["Conditions"] == "/protocolSection/conditionsModule/conditions"
    assert pointers["Death [1 year]: any cause"] == "/protocolSection/outcomesModule/primaryOutcomes/0"
    assert "" not in pointers.values()


RESULTS = {
    "participantFlowModule": {
        "recruitmentDetails": "Two sites.",
        "groups": [{"id": "FG000", "title": "Drug", "description": "pills"}, {"id": "FG001", "title": "Placebo"}],
        "periods": [
            {
                "title": "Overall Study",
                "milestones": [
                    {
                        "type": "STARTED",
                        "achievements": [
                            {"groupId": "FG000", "numSubjects": "9"},
                            {"groupId": "FG001", "numSubjects": "8"},
                        ],
                    }
                ],
                "dropWithdraws": [{"type": "Death", "reasons": [{"groupId": "FG001", "numSubjects": "1"}]}],
            }
        ],
    },
    "baselineCharacteristicsModule": {
        "groups": [{"id": "BG000", "title": "Drug"}],
        "measures": [
            {
                "title": "Age",
                "paramType": "MEAN",
                "dispersionType": "STANDARD_DEVIATION",
                "unitOfMeasure": "years",
                "classes": [{"categories": [{"measurements": [{"groupId": "BG000", "value": "40", "spread": "14"}]}]}],
            }
        ],
    },
    "outcomeMeasuresModule": {
        "outcomeMeasures": [
            {
                "type": "PRIMARY",
                "title": "Titer \\<1",
                "timeFrame": "Week 16",
                "paramType": "NUMBER",
                "groups": [{"id": "OG000", "title": "Drug"}],
                "denoms": [{"units": "Participants", "counts": [{"groupId": "OG000", "value": "9"}]}],
                "classes": [
                    {
                        "title": "Day 1",
                        "categories": [
                            {
                                "title": "Low",
                                "measurements": [
                                    {"groupId": "OG000", "value": "3", "lowerLimit": "1", "upperLimit": "5"}
                                ],
                            }
                        ],
                    }
                ],
                "analyses": [
                    {
                        "pValue": "<0.05",
                        "statisticalMethod": "ANCOVA",
                        "paramType": "Odds Ratio (OR)",
                        "paramValue": "2",
                        "ciPctValue": "95",
                        "ciNumSides": "TWO_SIDED",
                        "ciLowerLimit": "1.1",
                    }
                ],
            }
        ]
    },
    "adverseEventsModule": {
        "timeFrame": "1 year",
        "eventGroups": [{"id": "EG000", "title": "Drug", "seriousNumAffected": 2, "seriousNumAtRisk": 9}],
        "seriousEvents": [
            {
                "term": "Fever",
                "organSystem": "General disorders",
                "stats": [{"groupId": "EG000", "numAffected": 2, "numAtRisk": 9}],
            }
        ],
    },
    "moreInfoModule": {"limitationsAndCaveats": {"description": "Small."}},
}


def test_results_are_text_with_their_numbers() -> None:
    """Flow, baseline, outcomes and adverse events are sections under Results; groups are called by their titles."""
    document = parse(study() | {"resultsSection": RESULTS})
    assert findings(document) == []
    found = [
        (section.title, [document.text_of(block) for block in section.blocks][1:])
        for section in document.sections
        if section.path == ("Results",)
    ]
    assert found == [
        (
            "Participant flow",
            [
                "Two sites.",
                "Drug: pills",
                "Placebo",
                "Overall Study\nStarted | Drug: 9; Placebo: 8\nWithdrawn, Death | Placebo: 1",
            ],
        ),
        ("Baseline characteristics", ["Age (mean, standard deviation, years)\nDrug: 40 ± 14"]),
        (
            "Primary outcome: Titer <1",
            [
                "Time frame: Week 16",
                "Drug",
                "Titer <1 (number)\nParticipants | Drug: 9\nDay 1, Low | Drug: 3 (1 to 5)",
                "ANCOVA; p-value <0.05; Odds Ratio (OR): 2; 95% 2-sided confidence interval 1.1 to open",
            ],
        ),
        (
            "Adverse events",
            [
                "Time frame: 1 year",
                "Drug: serious events 2 of 9",
                "Serious adverse events\nFever (General disorders) | Drug: 2 of 9",
            ],
        ),
        ("Limitations and caveats", ["Small."]),
    ]
    assert all(
        block.pointer.startswith("/resultsSection/") for one in document.sections if one.path for block in one.blocks
    )
    assert document.metadata["has_results"] is True


def test_the_results_of_a_real_trial(shared_data: Path) -> None:
    """NCT02210780, read by eye: 243 screened, 194 randomised, 97 in each arm; 83.7 % and 83.3 % answered."""
    document = parse((shared_data / "ctgov" / "single" / "NCT02210780.json").read_bytes())
    assert findings(document) == []
    assert "Started | Placebo qw: 97; " in document.text
    assert (
        "Participants | Placebo qw: 92; Dupilumab 300 mg qw: 90\nPlacebo qw: 83.7; Dupilumab 300 mg qw: 83.3"
        in document.text
    )
    assert "pre-vaccination titers of <0.1 IU/ml" in document.text
    assert "Serum sickness-like reaction (Immune system disorders) | Placebo qw: 0 of 97" in document.text
    assert document.metadata["results_posted"] == "2020-05-07"
    assert document.metadata["primary_completion"] == "2015-09-15"
    assert (document.metadata["sponsor"], document.metadata["sponsor_class"]) == (
        "Regeneron Pharmaceuticals",
        "INDUSTRY",
    )
