"""Run by Alembic: applies the steps through the connection that the service gives it."""

from alembic import context

from counterstain.web.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
