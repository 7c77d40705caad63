"""A converter that is no part of medical-kg and imports nothing of it: what ``convert-pdfs-elsewhere.md`` promises.

Arguments: the waiting submission, the workspace's folder, and the command line of medical-kg.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MEDIA_TYPE = "application/vnd.medical-kg.document+json"


def convert(attachment: dict[str, Any], folder: Path) -> Path:
    """Write the document of one file and return where; a real converter would read the file here."""
    item = attachment["item_id"]
    digest = attachment["uri"].removeprefix("file-area:").partition(".")[0]
    assert (folder / "files" / digest[:2] / attachment["uri"].removeprefix("file-area:")).read_bytes()[:5] == b"%PDF-"
    text = f"Converted elsewhere: {item}"
    block = {"id": "b1", "kind": "paragraph", "start": 0, "end": len(text)}
    document = {
        "id": item,
        "root": item,
        "kind": "text",
        "title": "",
        "text": text,
        "sections": [{"id": "s1", "title": "page 1", "blocks": [block]}],
        "provenance": {"source": "foreign", "uri": attachment["uri"], "sha256": attachment["sha256"]},
    }
    target = Path(f"{digest}.json")
    target.write_text(json.dumps(document), encoding="utf-8")
    return target


def main() -> None:
    """Ask what was downloaded, convert it, and tell that it is ready."""
    submission, folder, *command = sys.argv[1:]
    asked = subprocess.run([*command, "submissions", "signals", submission, "--json"], check=True, capture_output=True)
    for told in json.loads(asked.stdout):
        if told["name"] == "pdf_downloaded":
            made = [(one["item_id"], convert(one, Path(folder))) for one in told["attachments"]]
            attach = [part for item, path in made for part in ("--attach", f"{item}={path}")]
            ready = ["submissions", "signal", submission, "pdf_ir_ready", "--batch", str(told["batch"])]
            subprocess.run([*command, *ready, "--media-type", MEDIA_TYPE, *attach], check=True, capture_output=True)


main()
