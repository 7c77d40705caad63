"""Secrets: where they stand, and how they are kept out of everything that is shown or stored.

A config names where a secret stands, ``Secret``, and never holds it. Whatever was read as one is replaced by ``***`` in
every error, log line, event and record that the engine makes, in this process, for as long as it lives.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, Field, SecretBytes, SecretStr, model_validator

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.model import Model

HIDDEN = "***"
"""Stands where a secret was."""

SHORTEST = 4
"""Characters from which a secret is looked for: shorter ones stand in every other word."""

WRITTEN_OUT = "a secret is not written out; say where it stands: {env: NAME} or {file: /path}"

MOST_BYTES = 65_536
"""A file that is larger is no secret."""

_lock = threading.Lock()
_known: tuple[str, ...] = ()


class Secret(Model):
    """Where a secret stands: in an environment variable, ``{env: NAME}``, or a file, ``{file: /run/secrets/name}``.

    A field of a stage's config or of a plugin's options may have this type. A secret that is written out is refused. The
    fingerprint of a stage has the place and not the secret, so a new key for the same service voids no finished work.

    Attributes:
        env: the name of an environment variable.
        file: an absolute path of a file in UTF-8; the line break at its end is no part of the secret.
    """

    env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_place(cls, given: Any) -> Any:
        if isinstance(given, (str, int, float)):
            conceal(str(given))
            raise ValueError(WRITTEN_OUT)  # noqa: TRY004  # pydantic makes its error of this one
        return given

    @model_validator(mode="after")
    def _is_one_place(self) -> Secret:
        if (self.env is None) == (self.file is None):
            msg = "say where the secret stands by one of the two: {env: NAME} or {file: /path}"
            raise ValueError(msg)
        if self.file is not None and not Path(self.file).is_absolute():
            msg = "file: write the whole path, from / on"
            raise ValueError(msg)
        return self

    def reveal(self) -> str:
        """Return the secret as it is there now; from then on it is replaced wherever it would be shown.

        Raises:
            UsageError: it is not there, or empty; the message says where it was looked for.
        """
        found = os.environ.get(self.env, "").strip() if self.env else self._read()
        if not found:
            place = (
                f"the environment variable {self.env}, which is not set" if self.env else f"{self.file}, which is empty"
            )
            raise UsageError(f"a secret is needed in {place}")
        conceal(found)
        return found

    def _read(self) -> str:
        path = Path(self.file or "")
        try:
            with path.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise UsageError(f"the secret in {path} cannot be read: {error.strerror or error}") from None
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path} is larger than {MOST_BYTES:,} bytes, so it is no secret")
        try:
            return content.decode().strip()
        except UnicodeDecodeError:
            # The error would hold what was read.
            raise UsageError(f"the secret in {path} is not UTF-8 text") from None


def conceal(secret: str) -> None:
    """Have a secret replaced from now on, as it is and as addresses, JSON and Python write it.

    One of fewer than ``SHORTEST`` characters is not: it would be found in every other word.
    """
    global _known  # noqa: PLW0603  # one list per process, read without a lock
    forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    lines = {line.strip() for line in secret.splitlines()} if "\n" in secret else set[str]()
    with _lock:
        told = {form for form in {*_known, *forms, *lines} if len(form) >= SHORTEST}
        # The longest first: what holds another must not be left in pieces.
        _known = tuple(sorted(told, key=lambda form: (-len(form), form)))


def conceal_in(value: Any) -> None:
    """Conceal what stands as ``SecretStr`` or ``SecretBytes`` in a config, or in anything within it.

    A field's default, often a word such as ``none``, stands in the code and is no secret.
    """
    if isinstance(value, SecretStr):
        conceal(value.get_secret_value())
    elif isinstance(value, SecretBytes):
        conceal(value.get_secret_value().decode(errors="replace"))
    elif isinstance(value, BaseModel):
        fields = type(value).model_fields
        conceal_in([inner for name, inner in value if name not in fields or inner != fields[name].default])
    elif isinstance(value, Mapping):
        conceal_in(tuple(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            conceal_in(inner)


def redacted(text: str) -> str:
    """Return text with ``***`` for each secret that is known."""
    for form in _known:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text
