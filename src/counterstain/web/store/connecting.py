"""From the address of a database to an engine whose tables have their present form."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import ColumnElement, Engine, Float, create_engine, event, func, literal_column, text

from counterstain.errors import OutputError, Remedy
from counterstain.files import explained
from counterstain.web.store.migrations.place import FOLDER

BUSY_S = 30
"""How long a process waits for another one that writes to SQLite."""

MIGRATION_LOCK = 7_215_004
"""Number by which processes that start together take turns in PostgreSQL."""


def connect(url: str) -> Engine:
    """Return an engine; the tables are made, or brought to their present form, by whoever comes first.

    Raises
    ------
    OutputError
        The database cannot be opened.
    """
    if url.startswith("sqlite:///"):
        folder = Path(url.removeprefix("sqlite:///")).parent
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_pre_ping=True, **_arguments(url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    _migrate(engine)
    return engine


def _arguments(url: str) -> dict[str, Any]:
    return {"connect_args": {"timeout": BUSY_S}} if url.startswith("sqlite") else {}


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Let readers go on while one process writes, and leave transactions to SQLAlchemy."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_S * 1000}"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OSError as error:
        raise OutputError(f"cannot open the database: {error}", Remedy("name another one", "database")) from error


def now(engine: Engine) -> ColumnElement[float]:
    """Return the time by the clock of the database, which all machines share."""
    if engine.dialect.name == "sqlite":
        return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float)
    return func.extract("epoch", func.clock_timestamp()).cast(Float)
