"""Batches of any submission, run as they become ready: in this process or in several, once or for as long as is wanted."""

from __future__ import annotations

from medical_kg.orchestration.crew.dispatch import Dispatcher
from medical_kg.orchestration.crew.driver import EngineName, make_engine
from medical_kg.orchestration.crew.hands import Hands, OwnHands
from medical_kg.orchestration.crew.processes import Crew, hire

__all__ = ["Crew", "Dispatcher", "EngineName", "Hands", "OwnHands", "hire", "make_engine"]
