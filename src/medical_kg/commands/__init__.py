"""The commands the pack brings to the command line, through the door ``medical_kg.commands``."""
