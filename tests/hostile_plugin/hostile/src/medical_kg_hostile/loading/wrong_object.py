"""Has no stage where the entry point says there is one."""

from __future__ import annotations

Stage = {"run": print}
