"""What a file is, told by its first bytes."""

from __future__ import annotations

import pytest

from medical_kg.downloads.media import OTHER, PDF, media_type_of

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("head", "said", "found"),
    [
        (b"\x00junk %PDF-1.4", "text/html", PDF),
        (b"\xef\xbb\xbf <HTML>", PDF, "text/html"),
        (b"text", "text/plain", "text/plain"),
        (b"text", PDF, OTHER),
        (b"text", "", ""),
        (b"\x00\x01", "text/plain", OTHER),
        (b"\xff\xfet\x00", "text/plain", "text/plain"),
        (b"PK\x03\x04...", PDF, "application/zip"),
        (b"PK\x03\x04...", DOCX, DOCX),
        (b"PK\x03\x04...", "application/zip", "application/zip"),
        (b"text", "application/zip", OTHER),
        (b"\x1f\x8b\x08", "application/x-gzip", "application/x-gzip"),
        (b"\x89PNG\r\n\x1a\n", "text/plain", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/png", "image/jpeg"),
        (b"%!PS-Adobe", PDF, "application/postscript"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword", "application/msword"),
        (b"<?xml version='1.0'?><article/>", "application/xml", "application/xml"),
        (b" <article/>", "application/jats+xml", "application/jats+xml"),
        (b"\xff\xfe<\x00", "text/xml", "text/xml"),
        (b'{"error": "quota"}', "text/xml", OTHER),
        (b"<html><body>", "application/xml", "text/html"),
    ],
)
def test_the_content_tells_its_type(head: bytes, said: str, found: str) -> None:
    """First bytes count more than what is said; what is said to be of a known kind must begin like one."""
    assert media_type_of(head, said) == found
