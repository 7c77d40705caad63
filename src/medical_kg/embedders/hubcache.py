"""Fetches what is needed of a repository of the Hugging Face hub, by ``huggingface_hub``, into its own cache.

Its environment variables count: ``HF_HOME`` (where the cache is), ``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` (another hub, such as
a mirror) and ``HF_TOKEN``, the only place from which a token is taken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg import ItemRejected, StorageError, TransientError
from medical_kg.embedders.hubmodel import WANTED
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Http

HUB = "https://huggingface.co"
FIRST_SERVER_ERROR, TOO_MANY = 500, 429


def snapshot(model: str, revision: str, file: str, http: Http | None) -> Path:
    """Return the folder with a commit's files: from the cache, else from the hub, if the operator allows its host.

    Raises:
        UsageError: the hub may not be asked, or does not have it.
        StorageError: the cache cannot be written.
        TransientError: the hub cannot be reached now.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    endpoint, token = os.environ.get("HF_ENDPOINT", HUB).rstrip("/"), os.environ.get("HF_TOKEN", "").strip()
    asked: dict[str, Any] = {
        "repo_id": model,
        "revision": revision,
        "allow_patterns": [file, *WANTED],
        "library_name": "medical-kg",
        "endpoint": endpoint,
        "token": token or False,
    }
    try:
        return Path(snapshot_download(**asked, local_files_only=True))
    except LocalEntryNotFoundError:
        _ask(f"{endpoint}/api/models/{model}/revision/{revision}", token, http)
    disable_progress_bars()
    try:
        return Path(snapshot_download(**asked))
    except Exception as error:
        raise _told(error, f"{model} at {revision[:12]} cannot be fetched from {endpoint}") from error


def _ask(address: str, token: str, http: Http | None) -> None:
    """Ask the hub for the commit, by the service that reaches only hosts that the operator allows."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UsageError(f"{address} is not in the hub's cache, and HF_HUB_OFFLINE is set: fetch it once without")
    if http is None:
        raise UsageError("embedder 'hub' was not given the service http; whoever made it must connect it")
    try:
        with http.get(address, headers={"Authorization": f"Bearer {token}"} if token else None):
            pass
    except ItemRejected as error:  # the address, not a text
        hint = "; check model and revision, and HF_TOKEN for a repository that is not public"
        raise UsageError(f"{error}{hint if 'HTTP 4' in str(error) else ''}") from None


def _told(error: Exception, what: str) -> Exception:
    """Return a failed download as an error of ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HfHubHTTPError):
        error = error.__cause__  # what the hub answered, rather than that nothing is in the cache
    said = f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return TransientError(said) if status >= FIRST_SERVER_ERROR or status == TOO_MANY else UsageError(said)
    if isinstance(error, (httpx2.TransportError, LocalEntryNotFoundError)):
        return TransientError(said)
    return StorageError(said) if isinstance(error, OSError) else error
