"""State keys: the named, typed slots that stages read and write."""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from medical_kg.orchestration.contract.codecs import Codec, JsonLines
from medical_kg.orchestration.contract.errors import MetadataError

T = TypeVar("T")

RESERVED = frozenset({"batch", "config", "context", "ctx", "done", "item", "items", "self", "state", "type"})
"""Names that mean something else where a state key's name is used: as an argument, an output, in later Pythons."""

MergeRule = Literal["forbid", "append"]


@dataclass(frozen=True, slots=True, eq=False)
class StateKey(Generic[T]):
    """A named, typed slot of a batch's state. Two keys of one name are the same slot.

    Args:
        name: a Python identifier of ASCII characters; stages receive the value as the argument of this name.
        type: ``list[Record]``, or a single type for a value without items, such as a receipt.
        id: how an item is identified: a callable, or the name of an attribute. Records of different keys join by id,
            never by position. Needed by keys that a stage reads in item mode.
        root: how an item names the input record it descends from; the same forms as ``id``.
        codec: how the value becomes bytes; JSON lines unless given.
        merge: what happens when parallel branches write the key: ``forbid`` (an error before the run) or ``append``.
        description: one line for people.

    Raises:
        MetadataError: a field is invalid; it names the key, the field and the value.
    """

    name: str
    type: Any
    id: Callable[[Any], str] | str | None = None
    root: Callable[[Any], str] | str | None = None
    codec: Codec | None = None
    merge: MergeRule = "forbid"
    description: str = ""
    id_of: Callable[[Any], str] | None = field(init=False, repr=False)
    root_of: Callable[[Any], str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a wrong name, type, accessor, codec or merge rule."""
        if reason := wrong_name(self.name):
            raise self._wrong("name", self.name, reason)
        if not (_is_type(self.type) and _is_type(self.item_type)):
            raise self._wrong("type", self.type, "a key needs a type, e.g. list[Record]")
        if self.merge not in ("forbid", "append"):
            raise self._wrong("merge", self.merge, "must be 'forbid' or 'append'")
        if self.merge == "append" and not self.is_list:
            raise self._wrong("merge", self.merge, "only a list can be appended to")
        if self.codec is None:
            object.__setattr__(self, "codec", JsonLines(self.type))
        elif isinstance(self.codec, type) or not isinstance(self.codec, Codec):
            raise self._wrong("codec", self.codec, "must be an object with suffix, encode and decode")
        for name in ("id", "root"):
            object.__setattr__(self, f"{name}_of", self._accessor(name))

    def _accessor(self, name: str) -> Callable[[Any], str] | None:
        given = getattr(self, name)
        if given is None or callable(given):
            return given  # type: ignore[no-any-return]  # getattr by name loses the field's type
        if not isinstance(given, str) or not all(part.isidentifier() for part in given.split(".")):
            raise self._wrong(name, given, "must be a callable or the name of an attribute")
        return attrgetter(given)

    def _wrong(self, field_name: str, value: object, reason: str) -> MetadataError:
        return MetadataError(f"state key {self.name!r}", field_name, value, reason)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list of records (and not a single value)."""
        return get_origin(self.type) is list

    @property
    def item_type(self) -> Any:
        """The type of one record, or of the single value."""
        return next(iter(get_args(self.type)), None) if self.is_list else self.type

    def __eq__(self, other: object) -> bool:
        """Keys are equal when their names are."""
        return isinstance(other, StateKey) and other.name == self.name

    def __hash__(self) -> int:
        """Hash by name, in step with equality."""
        return hash(self.name)

    def accepts(self, written: StateKey[Any]) -> bool:
        """Whether a reader that declares this key can take what a writer of ``written`` gives."""
        if self.is_list != written.is_list:
            return False
        mine, theirs = self.item_type, written.item_type
        if mine is Any or mine == theirs:
            return True
        if hasattr(mine, "type_names") or hasattr(theirs, "type_names"):
            return type_names(mine)[0] in type_names(theirs)
        return isinstance(mine, type) and isinstance(theirs, type) and _descends(theirs, mine)

    def __str__(self) -> str:
        """Return the name and the type, as shown to people."""
        shown = getattr(self.item_type, "__name__", str(self.item_type))
        return f"{self.name}: list[{shown}]" if self.is_list else f"{self.name}: {shown}"


@dataclass(frozen=True, slots=True)
class OptionalRead:
    """A read that is ``None`` where nothing upstream writes the key."""

    key: StateKey[Any]


def optional(key: StateKey[Any]) -> OptionalRead:
    """Declare that a stage can do without this key: its argument is ``None`` where nothing upstream writes it."""
    return OptionalRead(key)


def type_names(given: Any) -> tuple[str, ...]:
    """Return the qualified names of a type and its bases, nearest first.

    A type of another process is stood in for by one that carries them as ``type_names``.
    """
    if names := getattr(given, "type_names", None):
        return tuple(names)
    return tuple(f"{one.__module__}.{one.__qualname__}" for one in given.__mro__) if _is_class(given) else (str(given),)


def _descends(theirs: type, mine: type) -> bool:
    try:
        return issubclass(theirs, mine)
    except TypeError:  # a TypedDict or a protocol cannot be asked
        return mine in theirs.__mro__


def _is_class(given: Any) -> bool:
    return isinstance(given, type) and get_origin(given) is None


def _is_type(given: Any) -> bool:
    """Whether it says what a value is: a class, ``Any``, a generic like ``dict[str, int]``, a union or an alias."""
    plain = isinstance(given, type) and given is not list
    return plain or given is Any or get_origin(given) is not None or hasattr(given, "__value__")


def wrong_name(name: object) -> str | None:
    """Return why ``name`` cannot name a state key, or None when it can."""
    if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
        return "must be a Python identifier of ASCII letters, digits and underscores"
    if name in RESERVED or name.startswith("_"):
        return f"is reserved; reserved are {', '.join(sorted(RESERVED))} and names that begin with an underscore"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a Python keyword"
    return None
