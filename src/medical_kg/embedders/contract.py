"""The contract of the door ``medical_kg.embedders``: what counts tokens and turns texts into vectors.

An entry point names a subclass of ``Embedder``. It is made from its options, a plain mapping that its own
``options_model`` validates. Making one is cheap: models and vocabularies are loaded at first use. The
conformance suite of ``conformance.py`` holds the rules as tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, ValidationError

from medical_kg import Model
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.model import problems_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from medical_kg.documents.records import EmbedderIdentity
    from medical_kg.orchestration.contract import Http


class Options(Model):
    """Base of an embedder's options: frozen, unknown names refused."""

    model_config = ConfigDict(protected_namespaces=())


class Embedder:
    """Base of every embedder.

    The vector of a text depends on the text and the identity alone, never on what else is embedded in the same call.
    Vectors are float32, of length 1 where the identity says normalized; a text without anything to embed may give zeros.
    """

    options_model: ClassVar[type[Options]] = Options

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Validate the options.

        Raises:
            UsageError: an option is unknown or wrong; all of them are named.
        """
        try:
            self.options: Any = self.options_model.model_validate(dict(options or {}))
        except ValidationError as error:
            raise UsageError(_say(type(self).__name__, error)) from error

    def connect(self, http: Http) -> None:
        """Take the service that reaches the hosts an operator has allowed; for embedders that need it.

        It is called before anything else is asked of the embedder.
        """

    @property
    def identity(self) -> EmbedderIdentity:
        """What makes the vectors; equal identities give equal vectors."""
        raise NotImplementedError

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text it takes in, without special tokens; what comes after is cut off."""
        raise NotImplementedError

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return one vector per text, float32 of shape (texts, dimension)."""
        raise NotImplementedError

    def embed_query(self, text: str) -> np.ndarray[Any, Any]:
        """Return the vector of a query, float32 of shape (dimension,)."""
        return self.embed_documents([text])[0]  # type: ignore[no-any-return]  # numpy types an indexed array as Any

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return start and end (characters, end exclusive) of every token in order, without special tokens."""
        raise NotImplementedError


def _say(name: str, error: ValidationError) -> str:
    return f"options of embedder {name}: {problems_in(error, 'options')}"
