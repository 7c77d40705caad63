"""Ends the program, as a script without a guard does."""

from __future__ import annotations

import sys

sys.exit("this module is a script")
