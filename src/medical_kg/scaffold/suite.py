"""The test module of a new stage: the conformance suite with its case, and one test written out."""

from __future__ import annotations

from dataclasses import dataclass

from medical_kg.scaffold.render import StageSource, fill
from medical_kg.scaffold.slots import COUNT, Slot
from medical_kg.scaffold.source import Imports, wrapped

TEXTS = ("Short words help every reader.", "So do short sentences.")
SHORT = "Short."
LINES = f'"{TEXTS[0]}\\n{TEXTS[1]}\\n"'


@dataclass(frozen=True)
class SuiteSource:
    """The test module.

    Args:
        stage: the stage it tests.
        package: the package to import it from.
    """

    stage: StageSource
    package: str

    def render(self) -> str:
        """Return the module's text."""
        is_stream = self.stage.shape == "stream"
        return fill(
            "test.py.txt",
            stage_type=self.stage.stage_type,
            imports=self._imports().render(),
            makers="".join(map(self._maker, self.stage.slots.reads)),
            case_argument=", tmp_path: Path" if is_stream else "",
            case_doc=self._case_doc(),
            case=self._case(),
            function="lines_become_records" if is_stream else "words_are_counted",
            test_argument="tmp_path: Path" if is_stream else "",
            test_doc=self._test_doc(),
            test="\n    ".join(self._test()),
        )

    def _imports(self) -> Imports:
        imports = Imports(self.package)
        imports.add("pytest")
        imports.add("medical_kg.testing", "StageCase", "run_stage")
        imports.add("medical_kg.testing.conformance", "StageConformance")
        imports.add(self.package, f"{self.stage.camel}Stage")
        if self.stage.shape == "stream":
            imports.add("pathlib", "Path")
        for slot in self.stage.slots.reads:
            if slot.known is None:
                imports.add(self.package, slot.item)
            for module, name in {*slot.sample.imports, *slot.imports} - _key_of(slot):
                imports.add(module, name)
        return imports

    def _maker(self, slot: Slot) -> str:
        parts = slot.sample.parts(id="ident", root="ident", text="text", number="1")
        made = wrapped(f"return {slot.sample.call}(", parts, ")", 1) if slot.sample.call else f"return {parts[0]}"
        what = "A record" if slot.is_list else "A value"
        head = wrapped(f"def {slot.maker}(", _parameters(slot), f") -> {slot.item}:")
        return f'{head}\n    """{what} of the state key ``{slot.name}``."""\n    {made}\n\n\n'

    def _made(self, slot: Slot, ident: str, text: str) -> str:
        given = [f'"{one}"' for one, name in ((ident, "ident"), (text, "text")) if f"{name}: str" in _parameters(slot)]
        return f"{slot.maker}({', '.join(given)})"

    def _value(self, slot: Slot) -> str:
        if not slot.is_list:
            return self._made(slot, "a", TEXTS[0])
        return f"[{', '.join(self._made(slot, ident, text) for ident, text in zip('ab', TEXTS, strict=True))}]"

    @property
    def _can_reject(self) -> bool:
        return self.stage.shape == "item" and self._has_text

    def _case_doc(self) -> str:
        if self.stage.shape == "stream":
            return "A file of two lines that it can take, and one that it must reject."
        if self._can_reject:
            return "Records that it can work on, and one that it must reject."
        return "What it can work on."

    def _case(self) -> str:
        name = f"{self.stage.camel}Stage"
        if self.stage.shape == "stream":
            write = wrapped("path.write_text(", [LINES.replace('\\n"', f'\\n{SHORT}\\n"'), 'encoding="utf-8"'], ")", 2)
            parts = [name, 'config={"min_words": 2}', 'more={"input": {"input": str(path)}}']
            made = wrapped("return StageCase(", parts, ")", 2)
            return f'path = tmp_path / "lines.txt"\n        {write}\n        {made}'
        parts = [name]
        if self._can_reject:
            parts.append('config={"min_words": 2}')
        if reads := self.stage.slots.reads:
            values = [f'"{slot.name}": {self._value(slot)}' for slot in reads]
            parts.append(f"reads={{{', '.join(values)}}}")
        if self._can_reject and self.stage.source is not None:
            parts.append(f"bad_item={self._made(self.stage.source, 'c', SHORT)}")
        return wrapped("return StageCase(", parts, ")", 2)

    @property
    def _has_text(self) -> bool:
        source = self.stage.source
        return source is not None and source.text_of("item") is not None

    def _test_doc(self) -> str:
        if self.stage.shape == "stream":
            return "One record per line, named by the file and the line."
        if self.stage.source is None:
            return "It works on the whole batch at once."
        if not self._has_text:
            return "It works on every record."
        return "A short text is rejected, the others are counted." if self._can_reject else "A short text is left out."

    def _test(self) -> list[str]:
        name = f"{self.stage.camel}Stage"
        if self.stage.shape == "stream":
            lines = ['path = tmp_path / "lines.txt"', wrapped("path.write_text(", [LINES, 'encoding="utf-8"'], ")", 1)]
            call = wrapped("run = run_stage(", [name, 'input={"input": str(path)}'], ")", 1)
            return [*lines, call, *self._expected('["lines.txt:1", "lines.txt:2"]'), "assert run.cursor is None"]
        parts = [name, *['{"min_words": 2}'] * self._has_text]
        for slot in self.stage.slots.reads:
            if slot is self.stage.source and self._has_text:
                parts.append(f"{slot.name}={self._value(slot)[:-1]}, {self._made(slot, 'c', SHORT)}]")
            else:
                parts.append(f"{slot.name}={self._value(slot)}")
        letters = '["c"]' if self._can_reject else "[]"
        return [
            wrapped("run = run_stage(", parts, ")", 1),
            *self._expected('["a", "b"]'),
            f"assert [letter.item_id for letter in run.dead_letters] == {letters}",
        ]

    def _expected(self, ids: str) -> list[str]:
        """Return what must hold of the first list written."""
        first = next((slot for slot in self.stage.slots.writes if slot.is_list), None)
        if first is None:
            return []
        records, source = f'for record in run.output["{first.name}"]', self.stage.source
        checks = []
        if first.id_field is not None and (self.stage.shape == "stream" or (source and source.id_field)):
            checks.append(f"assert [record.{first.id_field} {records}] == {ids}")
        if self._has_text and first.field == COUNT:
            checks.append(f"assert [record.words {records}] == {[len(text.split()) for text in TEXTS]}")
        return [*checks, f'assert run.counts["{first.name}"] == {1 if self.stage.shape == "single" else len(TEXTS)}']


def _parameters(slot: Slot) -> list[str]:
    ident = slot.sample.uses("id") or slot.sample.uses("root")
    return ["ident: str"] * ident + ["text: str"] * slot.sample.uses("text")


def _key_of(slot: Slot) -> set[tuple[str, str]]:
    return {(slot.known.module, slot.known.attribute)} if slot.known else set()
