"""HTML by small pieces; whatever is no markup already is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlsplit

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
LINKED = frozenset({"http", "https", "file"})
"""Addresses that become links; others, such as ``javascript:``, are shown as text."""
VOID = frozenset({"meta", "br"})


class Html(str):
    """Markup: put into a page as it is."""

    __slots__ = ()


Part = str | float | None


def tag(name: str, *parts: Part, **attributes: str | float) -> Html:
    """Return an element; ``class_`` stands for ``class``, other underscores for hyphens."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"' for key, value in attributes.items())
    inner = joined(parts)
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{inner}</{name}>")


def joined(parts: Iterable[Part]) -> Html:
    """Return the parts one after the other, escaped where they are no markup."""
    return Html("".join(one if isinstance(one, Html) else text(str(one)) for one in parts if one is not None))


def text(words: str) -> Html:
    """Return words as text of a page or value of an attribute; what no page may hold becomes U+FFFD."""
    return Html(escape(UNPRINTABLE.sub("\ufffd", words), quote=True))


def link(address: str, words: str) -> Html:
    """Return a link, or the words alone where the address is none that may be followed."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        scheme = ""
    return tag("a", words, href=address, rel="noreferrer noopener") if scheme in LINKED else text(words)


def table(columns: Sequence[str], rows: Iterable[Sequence[Part]], *, right: Iterable[str] = ()) -> Html:
    """Return a table that can be scrolled sideways where it is too wide; numbers stand to the right."""
    sides = ["number" if name in set(right) else "words" for name in columns]
    head = tag("tr", *(tag("th", name, scope="col", class_=side) for name, side in zip(columns, sides, strict=True)))
    body = [tag("tr", *(tag("td", cell, class_=side) for cell, side in zip(row, sides, strict=True))) for row in rows]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="wide", tabindex=0)
