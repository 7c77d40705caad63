"""The built-in stage types. They enter by entry points; nothing imports them."""
