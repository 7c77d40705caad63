"""State keys: what each field refuses, equality by name, and which writer fits which reader."""

from __future__ import annotations

import typing
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from support import Word, words
from typing_extensions import TypeAliasType

from medical_kg import JsonLines, MetadataError, StateKey, optional
from medical_kg.orchestration.contract.state import RESERVED, type_names, wrong_name

BARE_LIST = vars(typing)["List"]
"""``typing.List`` without a record; written out, a formatter would make it ``list``."""


class Longer(Word):
    more: str = ""


@pytest.mark.parametrize("name", ["", "two words", "1st", "a-b", "x.y", None, 3, "größe", "ﬁles", "a\n"])
def test_names_are_ascii_identifiers(name: Any) -> None:
    """A key's name is an argument and an output, so it must be an identifier that every layer takes as it is."""
    with pytest.raises(MetadataError) as caught:
        StateKey(name, list[Word])
    assert str(caught.value) == (
        f"state key {name!r}: name={name!r} is refused: must be a Python identifier of ASCII letters, digits and "
        "underscores"
    )
    assert (caught.value.plugin, caught.value.field, caught.value.value) == (f"state key {name!r}", "name", name)


@pytest.mark.parametrize("name", ["class", "None", "match", "case"])
def test_keywords_are_refused(name: str) -> None:
    """A keyword, hard or soft, cannot be an argument's name for long."""
    with pytest.raises(MetadataError, match=r"is refused: is a Python keyword$"):
        StateKey(name, list[Word])


@pytest.mark.parametrize("name", [*sorted(RESERVED), "_private"])
def test_reserved_names_are_refused(name: str) -> None:
    """A name that means something else as an argument or output is refused, and the message says which do."""
    with pytest.raises(
        MetadataError, match=r"is reserved; reserved are batch, config, context, ctx, done, item, items"
    ):
        StateKey(name, list[Word])


def test_a_good_name() -> None:
    """A plain identifier is fine."""
    assert wrong_name("words_2") is None


@pytest.mark.parametrize("type_", [None, 3, "list[Word]", list, BARE_LIST, list["Word"], [Word]])
def test_types_must_say_what_a_value_is(type_: Any) -> None:
    """A type that is no type, or a list of no stated records, is refused."""
    with pytest.raises(MetadataError) as caught:
        StateKey("words", type_)
    assert (caught.value.field, caught.value.value) == ("type", type_)
    assert str(caught.value) == (f"state key 'words': type={type_!r} is refused: a key needs a type, e.g. list[Record]")


@pytest.mark.parametrize(
    ("type_", "is_list", "item"),
    [
        (list[Word], True, Word),
        (typing.List[Word], True, Word),  # noqa: UP006  # an old spelling that authors may use
        (list[dict[str, int]], True, dict[str, int]),
        (list[Any], True, Any),
        (Word, False, Word),
        (Any, False, Any),
        (dict[str, int], False, dict[str, int]),
        (Word | None, False, Word | None),
        (typing.Optional[Word], False, typing.Optional[Word]),  # noqa: UP045  # as above
        (Annotated[int, "unit"], False, Annotated[int, "unit"]),
    ],
)
def test_lists_and_single_values(type_: Any, item: Any, *, is_list: bool) -> None:
    """``list[Record]`` is a list of items; any other type is a single value."""
    key: StateKey[Any] = StateKey("key", type_)
    assert (key.is_list, key.item_type) == (is_list, item)
    assert isinstance(key.codec, JsonLines)


@pytest.mark.parametrize("field", ["id", "root"])
@pytest.mark.parametrize("value", ["", "a b", ".a", 0, ["id"]])
def test_accessors_are_callables_or_attributes(field: str, value: Any) -> None:
    """How an item is named must be a callable or the name of an attribute."""
    with pytest.raises(MetadataError, match=r"is refused: must be a callable or the name of an attribute$") as caught:
        StateKey("words", list[Word], **{field: value})
    assert (caught.value.field, caught.value.value) == (field, value)


def test_accessors_read() -> None:
    """An accessor is a callable, an attribute, or an attribute of an attribute; without one there is none."""
    word = Word(id="w", root="r", text="t")
    assert words("words").id_of(word) == "w"  # type: ignore[misc]  # given above
    assert StateKey("x", list[Word], id=lambda w: w.text).id_of(word) == "t"  # type: ignore[misc]  # as above
    assert StateKey("x", list[Word], root="__class__.__name__").root_of(word) == "Word"  # type: ignore[misc]  # as above
    assert StateKey("x", list[Word]).id_of is None


@pytest.mark.parametrize("codec", [object(), JsonLines, 3, "json"])
def test_a_codec_is_an_object_with_three_parts(codec: Any) -> None:
    """Something that cannot encode is refused where the key is made; so is a codec's class."""
    with pytest.raises(MetadataError, match=r"is refused: must be an object with suffix, encode and decode$") as caught:
        StateKey("words", list[Word], codec=codec)
    assert (caught.value.field, caught.value.value) == ("codec", codec)


@pytest.mark.parametrize("merge", ["", "replace", None, []])
def test_unknown_merge_rules(merge: Any) -> None:
    """There are two merge rules."""
    with pytest.raises(MetadataError, match=r"is refused: must be 'forbid' or 'append'$") as caught:
        StateKey("words", list[Word], merge=merge)
    assert (caught.value.field, caught.value.value) == ("merge", merge)


def test_only_lists_are_appended_to() -> None:
    """A single value cannot be merged by appending."""
    with pytest.raises(MetadataError, match=r"is refused: only a list can be appended to$") as caught:
        StateKey("word", Word, merge="append")
    assert (caught.value.field, caught.value.value) == ("merge", "append")
    assert words("words", merge="append").merge == "append"


def test_the_default_codec_gives_records_of_the_type() -> None:
    """Without a codec a key's records come back as records of its type."""
    codec = words("words").codec
    assert codec is not None
    assert codec.decode(codec.encode([Word(id="w", root="r")])) == [Word(id="w", root="r")]


def test_a_named_type_is_a_type() -> None:
    """An alias that stands for a type (``type Name = ...`` of later Pythons) says what a value is."""
    alias = TypeAliasType("alias", dict[str, int])  # type: ignore[misc]  # made where no alias statement could stand
    assert StateKey("tally", alias).item_type is alias


def test_a_codec_of_one_s_own() -> None:
    """A codec that is given is used."""
    codec = JsonLines(list[Word])
    assert words("words", codec=codec).codec is codec


def test_equal_by_name() -> None:
    """Two keys of one name are one slot."""
    assert words("a") == StateKey("a", int)
    assert words("a") != words("b")
    assert words("a") != "a"
    assert len({words("a"), StateKey("a", int), words("b")}) == 2


@pytest.mark.parametrize(
    ("reader", "writer", "fits"),
    [
        (list[Word], list[Word], True),
        (list[Word], list[Longer], True),
        (list[Longer], list[Word], False),
        (list[Word], Word, False),
        (Word, list[Word], False),
        (list[Any], list[Word], True),
        (list[BaseModel], list[Word], True),
        (dict[str, int], dict[str, int], True),
        (dict[str, int], dict[str, str], False),
        (int, str, False),
    ],
)
def test_which_writer_fits_a_reader(reader: Any, writer: Any, *, fits: bool) -> None:
    """A reader takes its own type and what derives from it, lists for lists."""
    assert StateKey("x", reader).accepts(StateKey("x", writer)) is fits


def test_in_words() -> None:
    """A key reads as name and type."""
    assert str(words("words")) == "words: list[Word]"
    assert str(StateKey("tally", dict[str, int])) == "tally: dict"
    assert str(StateKey("maybe", Word | None)) == f"maybe: {Word | None}"


def test_optional_keeps_its_key() -> None:
    """``optional`` marks a key; it does not change it."""
    key = words("words")
    assert optional(key).key is key


def elsewhere(*names: str) -> type:
    """A type that stands in for one of another process: it carries its names and those of its bases."""
    return type("Elsewhere", (), {"type_names": names})


HERE = type_names(Word)[0]


@pytest.mark.parametrize(
    ("reader", "writer", "fits"),
    [
        (Word, elsewhere("other.Longer", HERE, "builtins.object"), True),
        (Word, elsewhere("other.Word", "builtins.object"), False),
        (elsewhere(HERE, "builtins.object"), Longer, True),
        (elsewhere("other.Longer", HERE), Word, False),
        (elsewhere("a.A", "a.B"), elsewhere("b.C", "a.A"), True),
        (elsewhere("a.A", "a.B"), elsewhere("b.C", "a.B"), False),
    ],
)
def test_a_type_of_another_process_fits_by_its_names(reader: Any, writer: Any, *, fits: bool) -> None:
    """A reader takes what has its type's name among the names of its bases, on whichever side the stand-in is."""
    assert StateKey("x", list[reader]).accepts(StateKey("x", list[writer])) is fits


def test_the_names_of_a_type() -> None:
    """A class has its own qualified name and those of its bases, nearest first; anything else the one it reads as."""
    assert type_names(Longer)[:2] == (f"{__name__}.Longer", "support.Word")
    assert type_names(Longer)[-1] == "builtins.object"
    assert type_names(dict[str, int]) == ("dict[str, int]",)
    assert type_names(Word | None) == (str(Word | None),)
    assert type_names(elsewhere("a.A")) == ("a.A",)


class Shape(typing.Protocol):
    """Cannot be asked what is one of it."""

    side: int


class Square(Shape):
    """Says that it is one."""


def test_a_type_that_cannot_be_asked_takes_what_names_it_as_base() -> None:
    """Protocols with attributes refuse ``issubclass``; what derives from one fits it still, and nothing else does."""
    assert StateKey("x", list[Shape]).accepts(StateKey("x", list[Square]))
    assert not StateKey("x", list[Shape]).accepts(StateKey("x", list[Word]))
