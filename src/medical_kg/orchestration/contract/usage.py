"""How the help of a command ends: with commands that can be typed as they are."""

from __future__ import annotations


def examples(*commands: str) -> str:
    r"""Return what ``--help`` ends with, for a command's ``epilog``: each command on a line of its own.

    ::

        @app.command(epilog=examples("medical-kg words count notes.txt", "medical-kg words count - --json"))

    At least one is expected of each command; the reference shows them, and tests hold that they can be parsed.
    """
    # The line of \b keeps the command line's formatter from joining the lines that follow.
    return "\b\nFor example:\n" + "\n".join(f"  {command}" for command in commands)
