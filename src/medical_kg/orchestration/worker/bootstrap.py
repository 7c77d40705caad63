"""The first thing a worker runs: plain code for any Python, run as a file, that makes the worker's program importable.

Where the interpreter has no medical-kg of its own (because of conflicting requirements, say), it is lent the engine's:
that package and two pure ones it needs, nothing else of the engine's environment. pydantic it must have itself.

Arguments: the number of the socket, that of the lifeline, and the settings as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.machinery import ModuleSpec

NEEDED = (3, 11)


class Lent:
    """Finds the engine's packages under their names. It is asked last, so what is installed here comes first."""

    def __init__(self, places: dict[str, str]) -> None:
        """Keep the folder of each package."""
        self.places = places

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return where a package is, as importlib asks for it."""
        if fullname not in self.places:
            return None
        place = self.places[fullname]
        return importlib.util.spec_from_file_location(
            fullname, place + "/__init__.py", submodule_search_locations=[place]
        )


def main() -> None:
    """Start the worker's program; what keeps it from starting is told on standard error."""
    if sys.version_info < NEEDED:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit("its Python is {}; medical-kg needs {}.{} or newer".format(found, *NEEDED))
    told = json.loads(sys.argv[3])
    # A file's folder comes first on the path; its modules are no top-level ones.
    sys.path[:] = told["path"] if told["path"] is not None else sys.path[1:]
    sys.meta_path.append(Lent(told["lent"]))
    try:
        from medical_kg.orchestration.worker.program import serve
    except ImportError as error:
        sys.exit(f"the worker's program cannot be imported there: {type(error).__name__}: {error}")
    serve(int(sys.argv[1]), int(sys.argv[2]), told)


if __name__ == "__main__":
    main()
