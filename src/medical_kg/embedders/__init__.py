"""What turns text into vectors: the door ``medical_kg.embedders`` and its built-in entries."""
