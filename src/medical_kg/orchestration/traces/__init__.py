"""Where a document has left traces, and removing them. To the engine a document is an input record, a *root*."""
