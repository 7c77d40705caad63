"""What happened, told to whoever listens; each optional listener is one small file."""
