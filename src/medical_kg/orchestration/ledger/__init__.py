"""The durable record of what was asked for and what came of it."""
