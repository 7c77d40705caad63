"""Measurements of the design's budgets, each beside its floor in the same run. ``make bench`` runs them all."""
