"""Named concepts with their synonyms: the door ``medical_kg.vocabularies`` and its built-in entries."""
