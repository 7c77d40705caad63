"""Lexicons kept: in the process while it lives, and compiled in a file of the workspace, named by what they are made of."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import threading
import zipfile
from array import array
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.extraction.automaton import Automaton
from medical_kg.extraction.lexicon import Lexicon, build

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from medical_kg.vocabularies.contract import Vocabulary

FOLDER = Path("cache", "lexicons")
KEPT_FILES = 8
KEPT_IN_PROCESS = 2
ARRAYS = {"keys": "q", "depth": "i", "fail": "i", "output": "i", "first": "i", "values": "i"}

_loaded: OrderedDict[str, Lexicon] = OrderedDict()
_lock = threading.Lock()


def lexicon_of(
    vocabularies: Sequence[Vocabulary], root: Path | None, logger: logging.LoggerAdapter[Any] | logging.Logger
) -> Lexicon:
    """Return the lexicon of some vocabularies: the process's, else the workspace's (under ``root``), else a new one.

    Raises:
        InputError: a vocabulary cannot be read.
    """
    key = key_of(vocabularies)
    with _lock:
        lexicon = _loaded.pop(key, None) or _kept(key, vocabularies, root, logger)
        _loaded[key] = lexicon
        while len(_loaded) > KEPT_IN_PROCESS:
            _loaded.popitem(last=False)
        return lexicon


def key_of(vocabularies: Sequence[Vocabulary]) -> str:
    """Return what a lexicon is made of as one digest: the contents, the options, and the code that reads them."""
    made_of = [
        (
            one.name,
            one.fingerprint(),
            _code(type(one).__module__),
            one.options.model_dump(mode="json", exclude={"path"}),
        )
        for one in vocabularies
    ]
    text = json.dumps([_own_code(), made_of], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(
    key: str, vocabularies: Sequence[Vocabulary], root: Path | None, logger: logging.LoggerAdapter[Any] | logging.Logger
) -> Lexicon:
    path = None if root is None else root / FOLDER / f"{key[:32]}.npz"
    if path is not None and path.is_file():
        try:
            return load(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("the kept lexicon %s cannot be used and is made again: %s", path, error)
    lexicon = build(vocabularies)
    if path is not None:
        try:
            save(lexicon, path)
        except OSError as error:
            logger.warning("the lexicon cannot be kept in %s, and is made again by the next process: %s", path, error)
    return lexicon


def save(lexicon: Lexicon, path: Path) -> None:
    """Write a lexicon whole or not at all, and delete the oldest where there are many."""
    import numpy as np

    words, arrays = lexicon.automaton.parts
    parts: dict[str, Any] = {name: np.frombuffer(one, dtype=one.typecode) for name, one in arrays.items()}
    parts["form_concept"] = np.frombuffer(lexicon.form_concept, dtype="i")
    parts["form_rank"] = np.frombuffer(lexicon.form_rank, dtype="b")
    parts["exact"] = np.array(list(lexicon.exact), dtype="i")
    texts = {"words": words, "letters": "\n".join(lexicon.exact.values()), "lines": "\n".join(lexicon.lines)}
    parts |= {name: np.frombuffer(text.encode("utf-8"), dtype="u1") for name, text in texts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(number, "wb") as stream:
            np.savez(stream, **parts)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    files = sorted(path.parent.glob("*.npz"), key=lambda one: one.stat().st_mtime, reverse=True)
    for old in files[KEPT_FILES:]:
        old.unlink(missing_ok=True)


def load(path: Path) -> Lexicon:
    """Read a lexicon; raises what a damaged file gives."""
    import numpy as np

    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as parts:
        texts = {name: parts[name].tobytes().decode("utf-8") for name in ("words", "letters", "lines")}
        arrays = {name: _array(kind, parts[name]) for name, kind in ARRAYS.items()}
        form_concept, form_rank = _array("i", parts["form_concept"]), _array("b", parts["form_rank"])
        forms = parts["exact"].tolist()
    exact = dict(zip(forms, texts["letters"].split("\n") if forms else (), strict=True))
    return Lexicon(Automaton(texts["words"], **arrays), texts["lines"].split("\n"), form_concept, form_rank, exact)


def _array(kind: str, values: Any) -> array[int]:
    made = array(kind)
    made.frombytes(values.tobytes())
    return made


@cache
def _own_code() -> str:
    """Return the digest of the code that decides what a lexicon holds."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _code(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
