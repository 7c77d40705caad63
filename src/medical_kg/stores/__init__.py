"""Where the index and the graph are kept: the door ``medical_kg.stores`` and its built-in entry."""
