"""Graphs as others read them: files of the usual formats, and a page to look at."""
