"""A JSON value that knows where it stands, so that facts can point at it and a wrong type can be named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from medical_kg import ItemRejected

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPE_NAMES = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", int: "a number", float: "a number"}


class JsonNode:
    """One value of a JSON record with its JSON pointer (RFC 6901).

    What is absent or null behaves like an empty value; what is there with another type raises ``ItemRejected``.
    """

    __slots__ = ("pointer", "value")

    def __init__(self, value: Any, pointer: str = "") -> None:
        """Keep the value and its pointer."""
        self.value, self.pointer = value, pointer

    def __bool__(self) -> bool:
        """Whether there is a value that is not empty."""
        return bool(self.value)

    def at(self, *keys: str) -> JsonNode:
        """Return the node under a path of keys."""
        node = self
        for key in keys:
            members = node.expect(dict, {})
            node = JsonNode(members.get(key), f"{node.pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        return node

    def text(self, *keys: str) -> str:
        """Return the text under a path, stripped; "" where there is none."""
        return str(self.at(*keys).expect(str, "")).strip()

    def scalar(self, *keys: str) -> str:
        """Return a text, number or boolean under a path as text; "" where there is none."""
        node = self.at(*keys)
        if isinstance(node.value, (dict, list)):
            node.refuse("a text or a number")
        return "" if node.value is None else str(node.value).strip()

    def items(self, *keys: str) -> Iterator[JsonNode]:
        """Give the nodes of the array under a path."""
        node = self.at(*keys)
        for number, value in enumerate(node.expect(list, [])):
            yield JsonNode(value, f"{node.pointer}/{number}")

    def texts(self, *keys: str) -> list[str]:
        """Return the texts of the array under a path, without empty ones."""
        return [text for node in self.items(*keys) if (text := node.text())]

    def expect(self, type_: type, empty: Any) -> Any:
        """Return the value when it has this type, ``empty`` when it is absent or null."""
        if self.value is None:
            return empty
        if not isinstance(self.value, type_):
            self.refuse(TYPE_NAMES[type_])
        return self.value

    def refuse(self, expected: str) -> NoReturn:
        """Raise for a value of another type than ``expected``."""
        found = TYPE_NAMES.get(type(self.value), type(self.value).__name__)
        raise ItemRejected(f"at {self.pointer or '/'}: expected {expected}, found {found}")
