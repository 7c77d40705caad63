"""Modules that misbehave when they are imported."""
