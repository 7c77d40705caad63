"""The pack's vocabulary: the document model, the records that flow between its stages, and its state keys."""
