"""Where a payload has the addresses of its files: found by its source, or taken from its content as configured."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator
from pydantic_core import from_json

from medical_kg import ItemRejected, Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

    from medical_kg.documents.records import Payload

LINKS: Literal["links"] = "links"
NAMESPACES = {"xlink": "http://www.w3.org/1999/xlink", "re": "http://exslt.org/regular-expressions"}
MOST = 1000
"""No payload has more addresses than this."""


class LinkFinder(Model):
    """Takes addresses from a payload's content: by exactly one of ``field``, ``xpath`` and ``pattern``.

    ``field`` names a value of JSON (``best_oa_location.pdf_url``; ``locations.*.pdf_url`` for each of a list), ``xpath`` a
    text or attribute of XML (``//self-uri/@xlink:href``), ``pattern`` a regular expression over the text, its first group
    where it has one. ``template`` makes an address of what was found, which stands for ``{}``.
    """

    field: str | None = Field(
        default=None, min_length=1, description="a value of JSON, by names and * with dots between"
    )
    xpath: str | None = Field(default=None, min_length=1, description="a text or attribute of XML")
    pattern: str | None = Field(default=None, min_length=1, description="a regular expression over the text")
    template: str = Field(default="{}", description="the address, with {} for what was found")

    @model_validator(mode="after")
    def _one_way(self) -> LinkFinder:
        if sum(way is not None for way in (self.field, self.xpath, self.pattern)) != 1:
            msg = "give exactly one of field, xpath and pattern"
            raise ValueError(msg)
        return self

    @field_validator("template")
    @classmethod
    def _has_place(cls, text: str) -> str:
        if text.count("{}") != 1:
            msg = "it needs {} once, for what was found"
            raise ValueError(msg)
        return text

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            msg = f"it is no regular expression: {error}"
            raise ValueError(msg) from None
        return text

    @field_validator("xpath")
    @classmethod
    def _is_xpath(cls, text: str | None) -> str | None:
        if text is not None:
            _compiled(text)
        return text

    def find(self, content: bytes) -> list[str]:
        """Return the addresses in the order in which they stand.

        Raises:
            ItemRejected: the content is not what it must be for this way.
        """
        if self.field is not None:
            found = _in_json(content, self.field)
        elif self.xpath is not None:
            found = _in_xml(content, self.xpath)
        else:
            found = _in_text(content, self.pattern or "")
        values = [value.strip() for value, _ in zip(found, range(MOST), strict=False)]
        return [self._address(value) for value in values if value]

    def _address(self, value: str) -> str:
        return value if self.template == "{}" else self.template.replace("{}", quote(value, safe="/:"))


LinksFrom = Literal["links"] | LinkFinder


def links_of(payload: Payload, ways: tuple[LinksFrom, ...]) -> tuple[list[str], list[str]]:
    """Return a payload's addresses, each once and in order, and why some ways found none."""
    found: dict[str, None] = {}
    refusals: list[str] = []
    for way in ways:
        try:
            found |= dict.fromkeys(way.find(payload.content) if isinstance(way, LinkFinder) else payload.links)
        except ItemRejected as refusal:
            refusals.append(str(refusal))
    return list(found), refusals


def _in_json(content: bytes, path: str) -> Iterator[str]:
    try:
        value = from_json(content)
    except ValueError as error:
        raise ItemRejected(f"no links by field {path!r}: the payload is not JSON: {error}") from None
    return (text for text in _values(value, path.split(".")) if isinstance(text, str))


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
    elif path[0] == "*" and isinstance(value, list):
        for one in value:
            yield from _values(one, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _in_xml(content: bytes, xpath: str) -> Iterator[str]:
    from lxml import etree

    closed = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        found: Any = _compiled(xpath)(etree.fromstring(content, closed))
    except etree.LxmlError as error:
        raise ItemRejected(f"no links by xpath {xpath!r}: the payload is not XML: {error}") from None
    if not isinstance(found, list):
        found = [found]
    return (one if isinstance(one, str) else str(getattr(one, "text", None) or "") for one in found)


def _compiled(xpath: str) -> etree.XPath:
    from lxml import etree

    try:
        return etree.XPath(xpath, namespaces=NAMESPACES)
    except etree.XPathError as error:
        msg = f"it is no XPath expression: {error}"
        raise ValueError(msg) from None


def _in_text(content: bytes, pattern: str) -> Iterator[str]:
    for match in re.finditer(pattern, content.decode("utf-8", errors="replace")):
        yield match[1] or "" if match.re.groups else match[0]
