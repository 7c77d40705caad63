"""The first thing a worker runs: plain code for any Python, run as a file, that makes the worker's program importable.

Where the interpreter has no medical-kg of its own (because of conflicting requirements, say), it is lent the engine's:
that package and two pure ones it needs, nothing else of the engine's environment. pydantic it must have itself.

Arguments: the number of the socket, that of the lifeline, and the settings as JSON.
"""

import importlib.util
import json
import sys

NEEDED = (3, 11)


def lend(name: str, place: str) -> None:
    """Make a package of the engine importable under its name, where there is none."""
    if importlib.util.find_spec(name) is not None:
        return
    init = place + "/__init__.py"
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[place])
    assert spec is not None and spec.loader is not None  # noqa: PT018, S101  # so it is for a file of Python
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Start the worker's program; what keeps it from starting is told on standard error."""
    if sys.version_info < NEEDED:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit("its Python is {}; medical-kg needs {}.{} or newer".format(found, *NEEDED))
    told = json.loads(sys.argv[3])
    # A file's folder comes first on the path; its modules are no top-level ones.
    sys.path[:] = told["path"] if told["path"] is not None else sys.path[1:]
    for name, place in told["lent"].items():
        lend(name, place)
    try:
        from medical_kg.orchestration.worker.program import serve
    except ImportError as error:
        sys.exit(f"the worker's program cannot be imported there: {type(error).__name__}: {error}")
    serve(int(sys.argv[1]), int(sys.argv[2]), told)


if __name__ == "__main__":
    main()
