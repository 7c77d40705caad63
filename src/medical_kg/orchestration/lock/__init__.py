"""What the installed plugins are, written down: to see later, or on another machine, whether they are still the same.

``medical_kg.lock`` stands where ``medical_kg.toml`` stands or, without one, beside the workspace. It is JSON, sorted,
with nothing of the machine in it. Each submission keeps the entries of the plugins that its plan uses.
"""

from medical_kg.orchestration.lock.entries import Entry
from medical_kg.orchestration.lock.file import (
    LOCK_FILE,
    Difference,
    Lock,
    lock_path,
    lock_plugins,
    make_lock,
    read_lock,
    verify_plugins,
)
from medical_kg.orchestration.lock.submitted import check_plan, plan_lock

__all__ = [
    "LOCK_FILE",
    "Difference",
    "Entry",
    "Lock",
    "check_plan",
    "lock_path",
    "lock_plugins",
    "make_lock",
    "plan_lock",
    "read_lock",
    "verify_plugins",
]
