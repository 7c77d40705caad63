"""Measuring a pipeline against what people said: what it found, what it missed, what it made up."""
