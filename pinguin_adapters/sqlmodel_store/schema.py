"""The schema's versions: bringing a database to the one that this code knows."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pinguin_adapters.sqlmodel_store.rows import TABLE
from pinguin_adapters.sqlmodel_store.tables import require_fit
from pinguin_core.errors import StoreUnavailable

HEAD: Final = "0005"
"""The version that this code reads and writes: the newest in `migrations/versions`."""

VERSION_TABLE: Final = "pinguin_schema_version"
"""Where a database's version stands: apart from that of an application whose database it is too."""

_SCRIPTS: Final = Path(__file__).parent / "migrations"

_ALEMBIC: Final = Lock()
"""Held while Alembic runs: what its scripts work with is global."""


def migrate(connection: Connection) -> None:
    """Bring the database to the version `HEAD`, inside the transaction that the connection is in.

    A table that is there without the one of versions was made by an application's own migrations,
    and is only looked at. If that one is empty, our first migration came to no end.

    Raises:
        StoreUnavailable: if it is of a version that this code does not know, or the application's
            table is another.
    """
    versions = _versions(connection)
    if versions == {HEAD}:
        return  # and Alembic, which is slow to import, stays out of the process
    if versions is None and sa.inspect(connection).has_table(TABLE.name):
        require_fit(connection)
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if unknown := (versions or set()) - known:
        raise StoreUnavailable(
            f"it was made by a newer version of Pinguin (its schema is {min(unknown)},"
            f" this version knows {HEAD}): install that version, or name another database"
        )
    with _ALEMBIC:
        command.upgrade(config, "head")


def _versions(connection: Connection) -> set[str] | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return set(connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars())  # noqa: S608 (a constant)
