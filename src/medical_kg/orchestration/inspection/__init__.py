"""Dry looks: why a stage ran, what a change of a pipeline will run again, what a plugin is. Nothing runs here."""
