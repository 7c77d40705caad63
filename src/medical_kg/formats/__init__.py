"""How documents are read: the door ``medical_kg.formats`` and its built-in entries."""
