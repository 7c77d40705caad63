"""How the ledger's schema came to be, one numbered step per file; alembic runs them when a ledger is opened."""
