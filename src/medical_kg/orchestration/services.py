"""The engine's implementations of the services ``files`` and ``http`` (the contract's ``Files`` and ``Http``)."""

from medical_kg.orchestration.fetching import HttpService
from medical_kg.orchestration.file_area import FileArea

__all__ = ["FileArea", "HttpService"]
