"""Addresses without what may be a secret."""

from __future__ import annotations

import pytest

from medical_kg.orchestration.contract.urls import safe_url, secret_in


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("file:///a%20b", "file:///a%20b"),
        ("https://user:secret@example.org:8080/a", "https://example.org:8080/a"),
        ("https://example.org/a?token=secret&page=2#secret", "https://example.org/a?token=...&page=..."),
        ("https://example.org/?secret", "https://example.org/?..."),
        ("https://example.org/?&a=secret&", "https://example.org/?a=..."),
        ("https://example.org/?a=secret=secret", "https://example.org/?a=..."),
        ("s3://bucket/key?versionId=1", "s3://bucket/key?versionId=..."),
        ("http://[half", "an address that cannot be read"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(url: str, shown: str) -> None:
    """User, password, values of the query and the fragment never reach a message; the rest is as it was."""
    assert safe_url(url) == shown


@pytest.mark.parametrize(
    ("url", "held"),
    [
        ("https://example.org/a?page=2&term=password", ""),
        ("https://me@example.org/a", ""),
        ("/a/folder", ""),
        ("http://[half", ""),
        ("https://me:secret@example.org/a", "a password"),
        ("https://example.org/a?page=2&api_key=secret", "the key 'api_key'"),
        ("https://example.org/a?API-Key=secret", "the key 'API-Key'"),
        ("https://example.org/a?access_token=secret", "the key 'access_token'"),
    ],
)
def test_a_secret_in_an_address_is_named(url: str, held: str) -> None:
    """By the words it stands in, and never itself."""
    assert secret_in(url) == held
