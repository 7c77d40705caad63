"""The program of a worker process: it loads a stage type, and runs it with the engine's own code for calling stages.

It imports no more than that needs, so that it works where little besides pydantic is installed.
"""
