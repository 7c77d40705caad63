"""How texts become vectors: the door ``medical_kg.embedders`` and its built-in entries."""
