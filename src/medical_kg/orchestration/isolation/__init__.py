"""Stages in processes of their own: environments, the workers in them, and what a worker says of a stage type.

This is the engine's side. It never imports the code of an isolated stage; the worker's own program
(``medical_kg.orchestration.worker``) does.
"""

from medical_kg.orchestration.isolation.environments import PROCESS, Environment, Environments
from medical_kg.orchestration.isolation.remote import RemoteStageType

__all__ = ["PROCESS", "Environment", "Environments", "RemoteStageType"]
