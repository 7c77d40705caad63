"""The rules that every format must keep, as a class to subclass with one fixture; needs pytest.

::

    class TestMyFormat(FormatConformance):
        @pytest.fixture
        def case(self) -> FormatCase:
            return FormatCase(MyFormat(), {"a.xyz": b"..."}, bad={"broken.xyz": b"..."})

Each rule is a test; one that does not apply is skipped with the reason.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import HEAD_BYTES, BadRecord, Format, RawRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

CUTS = 8
"""At how many places a file is cut off to see what the format makes of it."""


@dataclass(frozen=True)
class FormatCase:
    """A format and what it is tried on.

    Attributes:
        format: the format.
        files: contents of good files by name; each holds at least one record.
        bad: contents of files by name that it must refuse, as a whole or in a record, with ``ItemRejected``.
        without_pointers: set where the format cannot tell where a block stands.
    """

    format: Format
    files: Mapping[str, bytes]
    bad: Mapping[str, bytes] = field(default_factory=dict)
    without_pointers: bool = False

    def read(self, name: str, content: bytes) -> list[RawRecord | BadRecord]:
        """Return what the format finds in a file."""
        return list(self.format.records(io.BytesIO(content), name))

    def payloads(self, name: str, content: bytes) -> Iterator[Payload]:
        """Give the good records of a file, as ``ingest`` would."""
        for record in self.read(name, content):
            if isinstance(record, RawRecord):
                yield self.payload(name, record)

    def payload(self, name: str, record: RawRecord) -> Payload:
        """Return one record as ``ingest`` would."""
        digest = hashlib.sha256(record.content).hexdigest()
        origin = Provenance(source="conformance", uri=name, record=record.id, format=self.format.name, sha256=digest)
        return Payload(
            id=record.id, format=self.format.name, content=record.content, links=record.links, provenance=origin
        )

    def documents(self) -> list[Document]:
        """Return the documents of all good files."""
        pairs = [pair for name, content in self.files.items() for pair in self.payloads(name, content)]
        return [self.format.parse(payload) for payload in pairs]


class FormatConformance:
    """The conformance suite: subclass it, and give the fixture ``case``."""

    @pytest.fixture
    def case(self) -> FormatCase:
        """Return the format and its files; each subclass gives its own."""
        pytest.fail(f"{type(self).__name__} needs a fixture named case that returns a FormatCase", pytrace=False)

    def test_it_is_made_without_arguments_and_has_a_name(self, case: FormatCase) -> None:
        """Sources and stages make it so, and find it by its name."""
        assert type(case.format)().name == case.format.name
        assert case.format.name.strip() == case.format.name != ""

    def test_it_recognises_its_files_by_their_head(self, case: FormatCase) -> None:
        """No more than the first bytes and the name are shown to it."""
        unknown = [name for name, data in case.files.items() if not case.format.sniff(data[:HEAD_BYTES], name)]
        assert unknown == []

    @pytest.mark.parametrize("head", [b"", b" \n", b"\x00\x01\x02\x03", b"\xff\xfe\xff", b"GIF89a"])
    def test_it_does_not_take_what_is_nothing(self, case: FormatCase, head: bytes) -> None:
        """Another format, or a clear refusal, is due to it; looking raises nothing."""
        assert not case.format.sniff(head, "file.bin")

    def test_records_are_the_same_each_time(self, case: FormatCase) -> None:
        """A source goes on in the middle of a file by counting records: ids, contents and order never change."""
        for name, content in case.files.items():
            assert case.read(name, content) == case.read(name, content)
            assert any(isinstance(record, RawRecord) for record in case.read(name, content)), name

    def test_ids_are_prefixed(self, case: FormatCase) -> None:
        """An id is like ``prefix:value``, so that records of different sources meet."""
        for name, content in case.files.items():
            ids = [payload.id.partition(":") for payload in case.payloads(name, content)]
            assert [ident for ident in ids if not all(part.strip() for part in ident)] == []

    def test_small_reads_give_the_same_records(self, case: FormatCase) -> None:
        """A stream may give fewer bytes than asked."""
        for name, content in case.files.items():
            assert list(case.format.records(_Trickle(content), name)) == case.read(name, content)

    def test_documents_are_sound(self, case: FormatCase) -> None:
        """Every record's document passes ir-validation, and has the payload as its root."""
        for name, content in case.files.items():
            for payload in case.payloads(name, content):
                document = case.format.parse(payload)
                assert findings(document) == []
                assert document.root == payload.id
                assert document.provenance == payload.provenance

    def test_parsing_is_repeatable(self, case: FormatCase) -> None:
        """The same payload gives the same document, and no call leaves a trace in the next."""
        assert case.documents() == case.documents()

    def test_documents_survive_storage(self, case: FormatCase) -> None:
        """As JSON and back they are equal."""
        for document in case.documents():
            assert Document.model_validate_json(document.model_dump_json()) == document

    def test_blocks_say_where_they_stand(self, case: FormatCase) -> None:
        """Every block keeps its place in the record: a page, an XPath, a JSON pointer or a line."""
        if case.without_pointers:
            pytest.skip("the format cannot tell where a block stands")
        lost = [(one.id, block.id) for one in case.documents() for block in one.blocks if not block.pointer]
        assert lost == []

    def test_bad_files_are_refused_with_a_reason(self, case: FormatCase) -> None:
        """By ``ItemRejected`` or a bad record, on one line; nothing else is raised."""
        if not case.bad:
            pytest.skip("no bad file was given")
        for name, content in case.bad.items():
            reasons = _refusals(case, name, content)
            assert reasons, f"{name} was taken"
            assert all(reason.strip() and "\n" not in reason for reason in reasons)

    def test_a_refusal_names_the_payload(self, case: FormatCase) -> None:
        """Who reads a dead letter learns which record of which file it is."""
        origin = Provenance(source="conformance", uri="conformance/nothing", format=case.format.name)
        payload = Payload(id="conformance:nothing", format=case.format.name, content=b"", provenance=origin)
        with pytest.raises(ItemRejected, match="conformance:nothing"):
            case.format.parse(payload)

    def test_files_cut_off_are_read_or_refused(self, case: FormatCase) -> None:
        """Wherever a download broke off, there are records, bad records or ``ItemRejected``, never another error."""
        for name, content in case.files.items():
            for part in range(CUTS):
                _refusals(case, name, content[: len(content) * part // CUTS])


def _refusals(case: FormatCase, name: str, content: bytes) -> list[str]:
    """Return the reasons for which the file or records of it are refused."""
    reasons: list[str] = []
    found: list[RawRecord | BadRecord] = []
    try:
        found.extend(case.format.records(io.BytesIO(content), name))
    except ItemRejected as refusal:
        reasons.append(str(refusal))
    reasons += [record.reason for record in found if isinstance(record, BadRecord)]
    for record in found:
        if isinstance(record, RawRecord):
            try:
                case.format.parse(case.payload(name, record))
            except ItemRejected as refusal:
                reasons.append(str(refusal))
    return reasons


class _Trickle:
    """A stream that gives a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, 37))
