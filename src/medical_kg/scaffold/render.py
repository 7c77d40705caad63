"""The files of a new stage, filled in from the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from string import Template

from medical_kg.orchestration.contract.metadata import Mode
from medical_kg.scaffold.naming import camel
from medical_kg.scaffold.slots import Slot, Slots, record_source
from medical_kg.scaffold.source import Imports, parted, wrapped

CONFIG_FIELDS: Mapping[str, str] = {
    "item": 'min_words: int = Field(default=1, ge=0, description="a text of fewer words is rejected")',
    "batch": 'min_words: int = Field(default=1, ge=0, description="a text of fewer words is left out")',
    "stream": 'min_words: int = Field(default=1, ge=0, description="a line of fewer words is rejected")',
    "single": 'text: str = Field(default="A few words.", description="the text whose words are counted")',
}


def fill(template: str, **values: str) -> str:
    """Return a template's text with each ``$name`` replaced.

    Raises:
        KeyError: the template has a name that no value is given for.
    """
    text = files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


@dataclass(frozen=True)
class StageSource:
    """The module of the stage.

    Args:
        stage_type: its name.
        mode: how the engine calls it.
        slots: what it reads and writes.
    """

    stage_type: str
    mode: Mode
    slots: Slots

    @property
    def camel(self) -> str:
        """The stage type's name as a class's."""
        return camel(self.stage_type)

    @cached_property
    def source(self) -> Slot | None:
        """The list that the stage goes through: the first it reads."""
        return next((slot for slot in self.slots.reads if slot.is_list), None)

    @property
    def shape(self) -> str:
        """The mode, or ``single`` for a batch stage without a list to go through."""
        return "single" if self.mode == "batch" and self.source is None else self.mode

    @property
    def text(self) -> str:
        """The expression for the text whose words are counted."""
        if self.shape == "stream":
            return "text"
        if self.source is None:
            names = "".join(f" {{{slot.name}}}" for slot in self.slots.reads)
            return f'f"{{self.config.text}}{names}"' if names else "self.config.text"
        return self.source.text_of("item") or "str(item)"

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        if self.shape == "stream":
            return f"Gives the lines of a text file as {_listed([slot.name for slot in self.slots.writes])}."
        of = self.source.name if self.source else "a text"
        return f"Counts the words of {of.replace('_', ' ')}."

    def values(self) -> dict[str, str]:
        """Return the expressions that records are made from."""
        if self.shape == "stream":
            return {"id": "ident", "root": "ident", "text": "text", "number": "words"}
        if self.source is None:
            return {"id": "ctx.stage", "root": "ctx.stage", "text": self.text, "number": "words"}
        return {
            "id": self.source.id_of("item"),
            "root": self.source.root_of("item"),
            "text": self.source.decoded("item"),
            "number": "words",
        }

    def render(self) -> str:
        """Return the module's text."""
        new = self.slots.new()
        records = "".join(fill("record.txt", record=slot.item, key=slot.name, field=slot.field) for slot in new)
        keys = "".join(self._key(slot) for slot in new)
        return fill(
            "stage.py.txt",
            stage_type=self.stage_type,
            camel=self.camel,
            mode=self.mode,
            summary=self.summary,
            imports=self._imports().render(),
            records=records,
            keys=keys + "\n\n" if keys else "",
            config_field=CONFIG_FIELDS[self.shape],
            reads=_key_tuple("reads", self.slots.reads),
            writes=_key_tuple("writes", self.slots.writes),
            method=self._method().rstrip(),
        )

    def _key(self, slot: Slot) -> str:
        about = (
            "a line of the input" if self.shape == "stream" else "text" if slot.field.startswith("text") else "words"
        )
        parts = [f'"{slot.name}"', slot.type, 'id="id"', 'root="root"', f'description="{about}"']
        return wrapped(f"{slot.constant}: StateKey[{slot.type}] = StateKey(", parts, ")") + "\n"

    def _imports(self) -> Imports:
        imports = Imports()
        imports.add("pydantic", "Field")
        imports.add("medical_kg", "Model", "Stage", "StageContext", "StageMetadata")
        if self.slots.new():
            imports.add("medical_kg", "StateKey")
        made = [slot for slot in self.slots.writes if not self._passes_through(slot)]
        for module, name in [
            *(one for slot in self.slots.all() for one in slot.imports),
            *(one for slot in made for one in slot.sample.imports),
        ]:
            imports.add(module, name)
        if self.shape == "item":
            imports.add("medical_kg", "ItemRejected")
        if self.shape == "stream":
            imports.add("medical_kg", "InputError", "Page", "Rejected")
            imports.add("itertools", "islice")
            imports.add("pathlib", "Path")
        elif len(self.slots.writes) > 1:
            imports.add("typing", "Any")
        return imports

    def _passes_through(self, slot: Slot) -> bool:
        return self.source is not None and slot.name == self.source.name

    def _method(self) -> str:
        values = {
            "signature": self._signature(),
            "text": self.text,
            "log": self._log(),
            "give": self._give(),
            "start": self._start(),
            "each": "\n            ".join(self._appends()),
            "source": self.source.name if self.source else "",
        }
        return fill(f"method_{self.shape}.txt", **values)

    def _signature(self) -> str:
        result = " -> None:"
        if writes := self.slots.writes:
            given = writes[0].type if self.mode == "batch" else writes[0].item
            result = f" -> {given}:" if len(writes) == 1 else " -> dict[str, Any]:"
        parts = ["self", "ctx: StageContext"]
        rest = self.slots.reads
        if self.mode == "item" and self.source is not None:
            parts.append(f"item: {self.source.item}")
            rest = rest[1:]
        parts += [f"{slot.name}: {slot.type}" for slot in rest]
        head = "def process(" if self.mode == "item" else "def run("
        return wrapped(head, parts, f"){result}", 1)

    def _log(self) -> str:
        if self.shape == "single":
            return f'ctx.logger.{self._level}("%d words", words)'
        rest = [slot for slot in self.slots.reads if slot is not self.source]
        beside = "".join(f", beside {'%d' if slot.is_list else '%s'} {slot.name}" for slot in rest)
        shown = [f"len({slot.name})" if slot.is_list else slot.name for slot in rest]
        if self.shape == "item":
            head = [f'"%s has %d words{beside}"', self.values()["id"], "words"]
        else:
            of = self.source.name if self.source else ""
            head = [f'"%d words in %d {of}{beside}"', "total", f"len({of})"]
        return wrapped(f"ctx.logger.{self._level}(", [*head, *shown], ")", 2)

    @property
    def _level(self) -> str:
        return "debug" if self.slots.writes else "info"

    def _start(self) -> str:
        lines = [f"new_{slot.name}: {slot.type} = []" for slot in self.slots.writes if slot.is_list]
        return "\n        ".join([*lines, *["total = 0"] * (self.shape == "batch")])

    def _appends(self) -> list[str]:
        lines = [
            wrapped(f"new_{slot.name}.append(", [f"{head}{', '.join(arguments)}{tail}"], ")", 3)
            for slot in self.slots.writes
            if slot.is_list
            for head, arguments, tail in [self._record(slot)]
        ]
        return [*lines, *["total += words"] * (self.shape == "batch")]

    def _record(self, slot: Slot, number: str = "words") -> tuple[str, list[str], str]:
        if self._passes_through(slot):
            return "", ["item"], ""
        return record_source(slot, self.source, {**self.values(), "number": number})

    def _give(self) -> str:
        writes = self.slots.writes
        if self.shape == "stream":
            given = f"new_{writes[0].name}"
            if len(writes) > 1:
                given = f"{{{', '.join(f'{_quoted(slot)}: new_{slot.name}' for slot in writes)}}}"
            return wrapped(
                "return Page(", [given, "cursor=None if ended else str(start + limit)", "rejected=rejected"], ")", 2
            )
        if not writes:
            return ""
        if len(writes) == 1:
            return self._returned(writes[0], "return ", 2)
        parts = [self._returned(slot, f"{_quoted(slot)}: ", 3) for slot in writes]
        return parted("return {", parts, "}", 2)

    def _returned(self, slot: Slot, head: str, indent: int) -> str:
        if self.shape == "batch" and slot.is_list:
            return f"{head}new_{slot.name}"
        start, arguments, end = self._record(slot, "total" if self.shape == "batch" else "words")
        if self.shape == "single" and slot.is_list:
            start, end = f"[{start}", f"{end}]"
        return wrapped(head + start, arguments, end, indent)


def _quoted(slot: Slot) -> str:
    return f'"{slot.name}"'


def _key_tuple(name: str, slots: list[Slot]) -> str:
    constants = [slot.constant for slot in slots]
    if len(constants) == 1:
        return f"{name}=({constants[0]},)"
    return parted(f"{name}=(", constants, "),", 2).removesuffix(",")


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names).replace("_", " ")
