"""A small graph with everything that is hard to write down: strange texts, denial, loops, several documents."""

from __future__ import annotations

from typing import Any

from medical_kg.stores.contract import Edge

EVIL = """</script><script>window.owned = 1</script><img src=x onerror="window.owned = 2">&amp; "it's" \\ `{}` \x01\n#; é"""


def edge(subject: str, predicate: str, object_: str, **more: Any) -> Edge:
    fields: dict[str, Any] = {
        "subject": subject,
        "predicate": predicate,
        "object": object_,
        "root": "r1",
        "evidence": "heart failure",
        "pointer": "",
        "block": "b3",
        "start": 113,
        "end": 126,
        "method": "dictionary",
        "source": "files",
        "uri": "file:///citations.xml",
        "document": "pmid:1",
        "sentence": "\N{GRINNING FACE} Drug X for heart failure.",
        "sentence_start": 100,
        "stage": "extract 2.1.0",
        "confidence": 0.8,
    }
    return Edge(**(fields | more))
