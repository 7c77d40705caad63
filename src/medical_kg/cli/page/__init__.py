"""A submission as one HTML page that needs nothing else: no script, no other file, no network."""

from medical_kg.cli.page.submission import submission_page

__all__ = ["submission_page"]
