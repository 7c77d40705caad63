"""The command line ``medical-kg``: a thin face of the Python API, one file per noun."""

from __future__ import annotations


def main() -> None:
    """Run the command line on this process's arguments, and exit."""
    from medical_kg.cli.app import app

    app(prog_name="medical-kg")
