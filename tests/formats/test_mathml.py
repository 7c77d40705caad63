"""Formulas as readable text."""

from __future__ import annotations

import pytest
from lxml import etree

from medical_kg.formats.mathml import math_text, tex_text


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<mi>a</mi><mo> = </mo><mn>1</mn>", "a=1"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac>", "(a+b)/c"),
        ("<msup><mn>10</mn><mrow><mo>-</mo><mn>5</mn></mrow></msup>", "10^(-5)"),
        ("<msub><mi>x</mi><mi>i</mi></msub>", "x_i"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_i^2"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", "sqrt(x+1)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "root(x, 3)"),
        ('<mfenced open="["><mi>x</mi><mi>y</mi></mfenced>', "[x, y)"),
        (
            "<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi></mtd></mtr></mtable>",
            "a, b; c",
        ),
        ("<mi>a</mi><mspace/><mi>b</mi>", "a b"),
        ("<msup><mi>odd</mi></msup>", "odd"),
        ("<semantics><mi>a</mi><annotation>tex</annotation></semantics>", "a"),
    ],
)
def test_mathml_is_readable(inner: str, expected: str) -> None:
    """Fractions, powers, indices, roots and tables get signs; the rest is joined; nothing is lost."""
    for root in (
        f"<math>{inner}</math>",
        f'<m:math xmlns:m="urn:m">{inner.replace("<", "<m:").replace("<m:/", "</m:")}</m:math>',
    ):
        assert math_text(etree.fromstring(root)) == expected


def test_latex_without_its_frame() -> None:
    """Of a LaTeX document only the formula counts."""
    assert tex_text(r"\documentclass{a}\begin{document}$$ a^2 $$\end{document}") == "a^2"
    assert tex_text("$x$") == "x"
