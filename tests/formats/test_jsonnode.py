"""``JsonNode``: values that know where they stand."""

from __future__ import annotations

import pytest

from medical_kg import ItemRejected
from medical_kg.formats.jsonnode import JsonNode

NODE = JsonNode({"a": {"b/c": [{"d": " x "}, None]}, "n": 3, "f": False, "none": None, "t": ["x", "", None]})


def test_what_is_absent_is_empty() -> None:
    """A missing member, or null, reads as nothing, at any depth."""
    assert NODE.text("x", "y", "z") == ""
    assert NODE.text("none") == ""
    assert list(NODE.items("none")) == []
    assert NODE.scalar("x") == ""
    assert not NODE.at("x")


def test_values_are_read_with_their_pointer() -> None:
    """Pointers follow RFC 6901: the slash in a key is escaped."""
    first, second = NODE.items("a", "b/c")
    assert (first.text("d"), first.at("d").pointer) == ("x", "/a/b~1c/0/d")
    assert (second.text(), second.pointer) == ("", "/a/b~1c/1")
    assert NODE.texts("t") == ["x"]
    assert (NODE.scalar("n"), NODE.scalar("f")) == ("3", "False")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [(("a",), "at /a: expected a text, found an object"), (("n",), "at /n: expected a text, found a number")],
)
def test_another_type_is_refused(keys: tuple[str, ...], reason: str) -> None:
    """A value of another type is never taken for an empty one."""
    with pytest.raises(ItemRejected, match=reason):
        NODE.text(*keys)
    with pytest.raises(ItemRejected, match="at /: expected an array, found an object"):
        list(NODE.items())
    with pytest.raises(ItemRejected, match="at /n: expected an object, found a number"):
        NODE.at("n", "x")
