"""Small PDFs written by hand, byte by byte, so that no test depends on a file of somebody else."""

from __future__ import annotations

from collections.abc import Sequence

Lines = Sequence[tuple[float, float, str]]
"""Where each line begins (from the left and from the bottom, in points) and its text."""

FONTS = b"/F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>/B<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold>>"
PICTURE = (
    b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>\n"
    b"stream\n\x7f\nendstream"
)
BOX = b"0 0 100 100 re f"
SHOWN = b"q 100 0 0 100 0 0 cm /P Do Q"


def lines(*texts: str, left: float = 72, top: float = 700, drop: float = 14) -> Lines:
    """Return lines below each other."""
    return [(left, top - index * drop, text) for index, text in enumerate(texts)]


def drawn(page: Lines, font: str = "F", size: float = 11) -> bytes:
    """Return lines as a page's content, or a part of it; the font ``B`` is bold."""
    shown = [f"BT /{font} {size} Tf {left} {base} Td ({text}) Tj ET" for left, base, text in page]
    return "\n".join(shown).encode("latin-1")


def pdf(*pages: Lines | bytes, title: str = "", more: bytes = b"") -> bytes:
    """Return a PDF of pages, each given as lines or as its content; ``more`` goes into the trailer."""
    contents = [page if isinstance(page, bytes) else drawn(page) for page in pages]
    numbers = range(5, 5 + 2 * len(contents), 2)
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(contents)),
        b"<</Font<<%s>>/XObject<</P 4 0 R>>>>" % FONTS,
        PICTURE,
    ]
    for number, content in zip(numbers, contents, strict=True):
        page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources 3 0 R/Contents %d 0 R>>"
        objects += [page % (number + 1), b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content)]
    objects.append(b"<</Title(%s)>>" % title.encode("latin-1"))
    return _file(objects, b"/Root 1 0 R/Info %d 0 R%s" % (len(objects), more))


def encrypted() -> bytes:
    """Return a PDF whose password nobody knows: what should prove it is made up."""
    secret = b"<%s>" % (b"ab" * 32)
    security = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O%s/U%s>>/ID[<00><00>]" % (secret, secret)
    return pdf(lines("Nobody reads this."), more=security)


def _file(objects: Sequence[bytes], trailer: bytes) -> bytes:
    parts, offsets = [b"%PDF-1.4\n"], []
    for number, body in enumerate(objects, start=1):
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = sum(map(len, parts))
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    parts += [b"%010d 00000 n \n" % offset for offset in offsets]
    parts.append(b"trailer\n<</Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start))
    return b"".join(parts)
