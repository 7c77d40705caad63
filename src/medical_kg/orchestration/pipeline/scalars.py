"""What a plain YAML scalar means: the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema).

YAML 1.1, which PyYAML follows, reads ``no`` as false, ``2025-01-01`` as a date and ``1:30`` as 90; here these are text.
"""

from __future__ import annotations

import re

CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + name: float(f"{sign}inf") for sign in ("", "+", "-") for name in (".inf", ".Inf", ".INF")},
}

# Longer digits than any sensible number stay text: turning them into an int is quadratic.
INTEGER = re.compile(r"[-+]?[0-9]{1,100}")
OCTAL_OR_HEXADECIMAL = re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Scalar = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted, untagged scalar."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if OCTAL_OR_HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if len(text) <= 100 and FLOAT.fullmatch(text):  # noqa: PLR2004  # the bound of the patterns above
        return float(text)
    return text
