"""Raises what Ctrl-C raises."""

from __future__ import annotations

raise KeyboardInterrupt("not from the keyboard")
