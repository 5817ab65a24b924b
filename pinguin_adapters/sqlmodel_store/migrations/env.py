"""What Alembic runs to migrate, over a connection that is in a transaction."""

from alembic import context

from pinguin_adapters.sqlmodel_store.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
