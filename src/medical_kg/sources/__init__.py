"""Where documents come from: the door ``medical_kg.sources`` and its built-in entries."""
