"""Addresses fit to be shown: without what may be a secret."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urlsplit

KEYS = frozenset({"access_token", "api-key", "api_key", "apikey", "password"})
"""Parameters that services take secrets by; other names may be anything."""


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


def secret_in(url: str) -> str:
    """Return in which words an address holds a secret: a password, or a parameter that is one; "" where it has none."""
    try:
        parts = urlsplit(url)
        if parts.password:
            return "a password"
    except ValueError:
        return ""
    return next((f"the key {name!r}" for name, _ in parse_qsl(parts.query) if name.lower() in KEYS), "")


def _names_only(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    # A query without "=" may be a token as a whole.
    return "&".join(f"{name}=..." if equals else "..." for name, equals, _ in pairs)
