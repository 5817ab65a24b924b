"""What Alembic runs to migrate, over a connection that is in a transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
