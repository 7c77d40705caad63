"""Stage types that misbehave, one kind each. The item ``w2`` is the one on which those in item mode do."""
