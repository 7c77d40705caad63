"""What a file is: told by its first bytes where they can tell, else by what was said of it."""

from __future__ import annotations

PDF = "application/pdf"
HTML = "text/html"
XML = "application/xml"
OTHER = "application/octet-stream"
SNIFFED_BYTES = 1024
"""A PDF's mark may stand anywhere in its first 1024 bytes (ISO 32000-1, annex H.3.4.1)."""
SUFFIXES = {
    PDF: ".pdf",
    HTML: ".html",
    XML: ".xml",
    "text/xml": ".xml",
    "text/plain": ".txt",
    "application/json": ".json",
}
SPACE = b"\xef\xbb\xbf \t\r\n"
MARKS = (
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%!PS", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
"""What files of these types begin with."""
ZIPPED = (
    "application/epub+zip",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
)
"""Types whose files are zip archives."""
OLE = ("application/msword", "application/vnd.ms-")


def media_type_of(head: bytes, said: str) -> str:
    """Return the media type of a file from its first ``SNIFFED_BYTES``, or what was said of it where they do not tell.

    What is said to be of a type that is known by its beginning, and does not begin so, is not of it.
    """
    text = head.lstrip(SPACE).lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return HTML
    if b"%PDF-" in head:
        return PDF
    for mark, found in MARKS:
        if head.startswith(mark):
            return said if _is_kind_of(said, found) else found
    if _is_xml(said):
        return said if text.startswith(b"<") or _is_utf16(head) else OTHER
    if said.startswith("text/"):
        return OTHER if b"\0" in head and not _is_utf16(head) else said
    return OTHER if said == PDF or any(said == marked for _, marked in MARKS) else said


def _is_kind_of(said: str, found: str) -> bool:
    kinds = {"application/zip": ZIPPED, "application/gzip": ("application/x-gzip",), "application/x-ole-storage": OLE}
    return said.startswith(kinds.get(found, ())) if found in kinds else False


def _is_xml(said: str) -> bool:
    return said in (XML, "text/xml") or said.endswith("+xml")


def _is_utf16(head: bytes) -> bool:
    return head.startswith((b"\xff\xfe", b"\xfe\xff"))
