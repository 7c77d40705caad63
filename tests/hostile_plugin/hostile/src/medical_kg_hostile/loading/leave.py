"""Ends the process without a word, and claims that all went well."""

from __future__ import annotations

import os

os._exit(0)
