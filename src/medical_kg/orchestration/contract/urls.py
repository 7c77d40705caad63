"""Addresses fit to be shown: without what may be a secret."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def safe_url(url: str) -> str:
    """Return the address without user, password, fragment and the values of its query.

    Any of them may be a secret (a token, a signature), so none may reach a message, a log or the ledger.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return SplitResult(parts.scheme, host, parts.path, _names_only(parts.query), "").geturl()


def _names_only(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    # A query without "=" may be a token as a whole.
    return "&".join(f"{name}=..." if equals else "..." for name, equals, _ in pairs)
