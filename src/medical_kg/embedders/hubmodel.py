"""What a repository of the Hugging Face hub says of its model, in the files that sentence-transformers writes.

Only JSON is read: ``modules.json`` (what the model consists of), the pooling module's ``config.json`` (before version 5.4 a
truth value per way of pooling, since then its name), ``sentence_bert_config.json`` (the length at which it cuts),
``config_sentence_transformers.json`` (prompts, and how vectors are compared) and the transformer's own ``config.json``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, cast

from medical_kg import StorageError
from medical_kg.embedders.onnx import POOLINGS, Pooling
from medical_kg.orchestration.contract.errors import UsageError

WANTED = (
    "modules.json",
    "*_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
)
"""What is read of a repository besides the model, as patterns of its paths."""
KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
FOLDER = re.compile(r"[\w-]+")
OLD_NAMES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}
DOT_PRODUCTS = frozenset({"dot", "dot_product"})
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""The prompts that sentence-transformers puts before documents: the first of these that there is."""


class Prompts(NamedTuple):
    """What is put before a document and before a query."""

    document: str = ""
    query: str = ""


class Repository:
    """The settings in a repository's folder.

    Raises (when asked):
        UsageError: the model is of a kind that is not supported; the message says which.
        StorageError: a file is missing, or no JSON of the expected form.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the folder."""
        self._folder = folder

    @property
    def dimension(self) -> int:
        """How long the vectors of its tokens are."""
        config = self._object("config.json")
        found = next((config[name] for name in ("hidden_size", "dim", "d_model") if name in config), None)
        if not isinstance(found, int) or found < 1:
            raise StorageError(f"{self._folder / 'config.json'} does not say how long its vectors are (hidden_size)")
        return found

    def max_tokens(self, asked: int | None) -> int:
        """Return at how many tokens texts are cut, special ones counted: what is asked for, else what its makers say."""
        places = self._object("config.json").get("max_position_embeddings")
        most = places if isinstance(places, int) else None
        if asked is not None and most is not None and asked > most:
            raise UsageError(f"option max_tokens {asked} is more than the model has places for ({most})")
        said = [
            self._object("sentence_bert_config.json").get("max_seq_length"),
            self._object("tokenizer_config.json").get("model_max_length"),
            most,
        ]
        # A tokenizer without a limit says 10**30.
        told = [one for one in (asked, *said) if isinstance(one, int) and 0 < one <= (most or 10**6)]
        if not told:
            raise UsageError(f"{self._folder} does not say how many tokens its model takes in; give option max_tokens")
        return told[0]

    def pooling(self) -> Pooling:
        """Return how its token vectors become one."""
        path = self._pooling_config()
        config = self._object(path)
        on = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
        old = OLD_NAMES.get(on[0], on[0]) if len(on) == 1 else ", ".join(on)
        told = str(config.get("pooling_mode") or old)
        if told not in POOLINGS:
            said = f"pools by {told!r}" if told else "does not say how its token vectors are pooled"
            raise UsageError(f"{self._folder / path} {said}; supported are {', '.join(POOLINGS)} (option pooling)")
        return cast("Pooling", told)

    def normalizes(self) -> bool:
        """Return whether vectors are brought to length 1: not where it compares them by dot product as they come."""
        compared = self._object("config_sentence_transformers.json").get("similarity_fn_name")
        return "Normalize" in self._modules() or compared not in DOT_PRODUCTS

    def prompts(self) -> Prompts:
        """Return its prompts, as sentence-transformers chooses them for documents and queries."""
        config = self._object("config_sentence_transformers.json")
        if config.get("suffix"):
            raise UsageError(f"{self._folder} wants a suffix after each text, which is not supported")
        there: dict[str, Any] = config.get("prompts") or {}
        usual = there.get(config.get("default_prompt_name") or "", "")
        document = next((there[name] for name in DOCUMENT_PROMPTS if name in there), usual)
        found = Prompts(str(document), str(there.get("query", usual)))
        if any(found) and self._object(self._pooling_config()).get("include_prompt") is False:
            raise UsageError(f"{self._folder} leaves its prompts out of the mean, which is not supported")
        return found

    def check(self) -> None:
        """Refuse a model that does more to a text than the transformer, pooling and length 1."""
        if unknown := [name for name in self._modules() if name not in KNOWN_MODULES]:
            raise UsageError(f"{self._folder} has modules that are not supported: {', '.join(unknown)}")
        if self._object("sentence_bert_config.json").get("do_lower_case") is True:
            raise UsageError(f"{self._folder} wants texts in lower case (do_lower_case), which is not supported")

    def _modules(self) -> list[str]:
        """Return the kinds of its modules, as the last words of their types."""
        return [str(one.get("type", "")).rpartition(".")[2] for one in self._listed()]

    def _pooling_config(self) -> str:
        paths = [str(one.get("path", "")) for one in self._listed() if str(one.get("type", "")).endswith("Pooling")]
        folder = paths[0] if paths and FOLDER.fullmatch(paths[0]) else "1_Pooling"
        return f"{folder}/config.json"

    def _listed(self) -> list[dict[str, Any]]:
        found = self._json("modules.json")
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise StorageError(f"{self._folder / 'modules.json'} is no list of modules")
        return found

    def _object(self, name: str) -> dict[str, Any]:
        found = self._json(name)
        if found is not None and not isinstance(found, dict):
            raise StorageError(f"{self._folder / name} is no JSON object")
        return found or {}

    def _json(self, name: str) -> Any:
        """Return what a file holds; None where there is none."""
        path = self._folder / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{path} is no JSON: {error}") from None
