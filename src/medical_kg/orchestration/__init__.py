"""The engine: registry, pipelines, ledger, runners. It knows no stage type and no document format."""
