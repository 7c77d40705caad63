"""What a new stage reads and writes, as source text: how each key, record and value is named, made and imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args, get_origin

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.scaffold.naming import record_class, singular
from medical_kg.scaffold.samples import CannotMake, Sample, all_fields, sample

if TYPE_CHECKING:
    from medical_kg.scaffold.known import Known, KnownKeys

TEXT, COUNT = "text: str", "words: int"
"""The field of a new record that carries its content."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A state key of the new stage.

    Attributes:
        name: the key's name.
        constant: the constant that holds the key.
        item: its records' type, as source.
        sample: how a record is made.
        is_list: whether the value is a list of records.
        known: the installed key, or None for a new one.
        field: the field of a new record that carries its content, as source.
        imports: what ``constant`` and ``item`` need, as (module, name).
    """

    name: str
    constant: str
    item: str
    sample: Sample
    is_list: bool = True
    known: Known | None = None
    field: str = ""
    imports: frozenset[tuple[str, str]] = frozenset()

    @property
    def type(self) -> str:
        """The type of the whole value, as source."""
        return f"list[{self.item}]" if self.is_list else self.item

    @property
    def maker(self) -> str:
        """The function of the tests that makes a record."""
        return f"make_{singular(self.name).lower()}"

    @property
    def has_id(self) -> bool:
        """Whether its records are told apart by an id, as item mode needs."""
        return self.is_list and (self.known is None or self.known.key.id_of is not None)

    @property
    def id_field(self) -> str | None:
        """The field that identifies a record, if it is one field."""
        return self._field_of("id")

    def id_of(self, record: str) -> str:
        """Return the expression for a record's id."""
        return _part(record, self._field_of("id"), self._types())

    def root_of(self, record: str) -> str:
        """Return the expression for the id of the input record that a record descends from."""
        return _part(record, self._field_of("root") or self._field_of("id"), self._types())

    def text_of(self, record: str) -> str | None:
        """Return the expression for a record's text, or None where it has none."""
        for name, made in self.sample.arguments:
            if made in ("$text", "$text.encode()"):
                return f"{record}.{name}" if name else record
        return None

    def decoded(self, record: str) -> str:
        """Return the expression for a record's text as ``str``; of one without text, what it looks like."""
        text = self.text_of(record)
        if text is None:
            return f"str({record})"
        is_bytes = any(made == "$text.encode()" for _, made in self.sample.arguments)
        return f'{text}.decode(errors="replace")' if is_bytes else text

    def _field_of(self, which: str) -> str | None:
        if self.known is None:
            return which
        accessor = getattr(self.known.key, which)
        if isinstance(accessor, str):
            return accessor
        return which if which in self._types() else None

    def _types(self) -> Mapping[str, Any]:
        if self.known is None:
            return {"id": str, "root": str}
        return all_fields(self.known.key.item_type)

    def fields(self) -> Mapping[str, Any]:
        """Return the fields of its records and their types."""
        if self.known is None:
            name = self.field.partition(":")[0]
            return {"id": str, "root": str, name: str if self.field == TEXT else int}
        return self._types()


def _part(record: str, name: str | None, types: Mapping[str, Any]) -> str:
    if name is None:
        return f"str({record})"
    return f"{record}.{name}" if types.get(name) is str else f"str({record}.{name})"


@dataclass(slots=True)
class Slots:
    """Every key of the new stage, each once, however often it is named."""

    reads: list[Slot] = field(default_factory=list)
    writes: list[Slot] = field(default_factory=list)

    def all(self) -> list[Slot]:
        """Return every slot once."""
        return list({slot.name: slot for slot in (*self.reads, *self.writes)}.values())

    def new(self) -> list[Slot]:
        """Return those that the package defines."""
        return [slot for slot in self.all() if slot.known is None]


def slots_for(
    reads: Iterable[str], writes: Iterable[str], known: KnownKeys | None, taken: Iterable[str], *, gives_text: bool
) -> Slots:
    """Return the slots for the named keys.

    Args:
        reads: the names of the keys read.
        writes: the names of the keys written.
        known: the installed keys.
        taken: class names that new records may not have.
        gives_text: new keys that are written carry text (what a source gives), not a count.

    Raises:
        UsageError: a known key cannot be imported or made, or two things would have one name.
    """
    reads, writes, used = list(reads), list(writes), set(taken)
    found: dict[str, Slot] = {}
    installed = {name: known.find(name) if known else None for name in dict.fromkeys([*reads, *writes])}
    for name, one in installed.items():
        if one is not None:
            found[name] = _known_slot(one)
            used |= {found[name].item, *(imported for _, imported in found[name].sample.imports)}
    # A class in capitals, as of a key of one letter, is not to be called as a key's constant is.
    used |= {name.upper() if one is None else found[name].constant for name, one in installed.items()}
    for name, one in installed.items():
        if one is None:
            record = record_class(name, used)
            used.add(record)
            found[name] = _new_slot(name, record, TEXT if gives_text or name in reads else COUNT)
    slots = Slots([found[name] for name in reads], [found[name] for name in writes])
    _refuse_clashes(slots)
    return slots


def _new_slot(name: str, record: str, content: str) -> Slot:
    values = {TEXT: ("text", "$text"), COUNT: ("words", "$number")}
    made = Sample(record, (("id", "$id"), ("root", "$root"), values[content]), frozenset())
    return Slot(name, name.upper(), record, made, field=content)


def _known_slot(known: Known) -> Slot:
    key, imports = known.key, {(known.module, known.attribute)}
    try:
        names = [accessor if isinstance(accessor := getattr(key, which), str) else None for which in ("id", "root")]
        made = sample(key.item_type, *names)
        item = type_source(key.item_type, imports)
    except CannotMake as error:
        raise UsageError(
            f"state key {key.name!r} of {known.module} holds {error}, for which no sample record can be made up; "
            "name another key, and add this one to the generated package by hand"
        ) from None
    return Slot(key.name, known.attribute, item, made, key.is_list, known, imports=frozenset(imports))


def type_source(type_: Any, imports: set[tuple[str, str]]) -> str:
    """Return a type as source, and add what it needs to the imports.

    Raises:
        CannotMake: it cannot be named.
    """
    if type_ is Any:
        imports.add(("typing", "Any"))
        return "Any"
    if (origin := get_origin(type_)) in (list, dict, tuple):
        return f"{origin.__name__}[{', '.join(type_source(one, imports) for one in get_args(type_))}]"
    if not isinstance(type_, type) or "." in type_.__qualname__ or get_origin(type_) is not None:
        raise CannotMake(str(type_))
    if type_.__module__ != "builtins":
        imports.add((type_.__module__, type_.__qualname__))
    return type_.__qualname__


def _refuse_clashes(slots: Slots) -> None:
    owners: dict[str, str] = {}
    for slot in slots.all():
        for name, what in ((slot.constant, f"state key {slot.name!r}"), (slot.maker, f"a maker of {slot.name!r}")):
            if name in owners:
                raise UsageError(f"{owners[name]} and {what} would both be called {name}; choose another name")
            owners[name] = what


def record_source(slot: Slot, source: Slot | None, values: Mapping[str, str]) -> tuple[str, list[str], str]:
    """Return head, arguments and tail of the expression that makes a record of ``slot`` from ``item``, one of ``source``.

    Fields that both have are taken over; the rest is made from ``values`` (``id``, ``root``, ``text``, ``number``).
    """
    if not slot.sample.call:
        return "", slot.sample.parts(**values), ""
    theirs, mine = source.fields() if source is not None else {}, slot.fields()
    shared = {name for name, made in slot.sample.arguments if made not in ("$id", "$root", "$text") and name in theirs}
    arguments = [
        f"{name}=item.{name}" if name in shared and theirs[name] == mine[name] else filled
        for (name, _), filled in zip(slot.sample.arguments, slot.sample.parts(**values), strict=True)
    ]
    return f"{slot.sample.call}(", arguments, ")"
