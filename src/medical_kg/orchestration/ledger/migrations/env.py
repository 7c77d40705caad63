"""Run by alembic: applies the steps inside the transaction that ``schema.bring_up_to_date`` has begun."""

from alembic import context

from medical_kg.orchestration.ledger.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
