"""The engine's shell on Dagster: the only place that imports it."""
