"""For the stage ``download``: where payloads have links, what a file is by its bytes, files that break off."""
