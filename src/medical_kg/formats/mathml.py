"""Formulas as one line of readable text.

Sources: MathML 3 presentation elements (https://www.w3.org/TR/MathML3/chapter3.html); LaTeX as JATS embeds it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml import etree

TEX_BODY = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)

PATTERNS = {
    "mfrac": ("{}/{}", 2),
    "msup": ("{}^{}", 2),
    "mover": ("{}^{}", 2),
    "msub": ("{}_{}", 2),
    "munder": ("{}_{}", 2),
    "msubsup": ("{}_{}^{}", 3),
    "munderover": ("{}_{}^{}", 3),
    "mroot": ("root({}, {})", 2),
}
JOINED = {
    "msqrt": ("sqrt(", "", ")"),
    "mfenced": ("(", ", ", ")"),
    "mtable": ("", "; ", ""),
    "mtr": ("", ", ", ""),
}


def math_text(element: etree._Element) -> str:
    """Return MathML as text: ``a^2``, ``x_i``, ``(a+b)/c``, ``sqrt(x)``; what has no sign of its own is joined."""
    name = str(element.tag).rsplit("}", 1)[-1]
    if name in ("annotation", "annotation-xml"):
        return ""
    if len(element) == 0:
        return " ".join((element.text or "").split()) if name != "mspace" else " "
    parts = [math_text(child) for child in element]
    if name in JOINED:
        opening, between, closing = JOINED[name]
        return element.get("open", opening) + between.join(parts) + element.get("close", closing)
    pattern, arity = PATTERNS.get(name, ("", 0))
    return pattern.format(*map(_group, parts)) if arity == len(parts) else "".join(parts)


def tex_text(source: str) -> str:
    """Return the formula of a LaTeX document: what stands between ``begin`` and ``end``, without dollar signs."""
    found = TEX_BODY.search(source)
    return (found.group(1) if found else source).replace("$", "").strip()


def _group(text: str) -> str:
    return text if len(text) == 1 or text.isalnum() else f"({text})"
