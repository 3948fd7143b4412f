"""Which database a URL names, and whether what it needs is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from herenow.store.database import Database, StoreError
from herenow.store.sqlite import SqliteDatabase

SQLITE: Final = "sqlite:///"
EXTRAS: Final = {
    "postgresql": ("postgres", ("sqlalchemy", "psycopg")),
    "mysql": ("mysql", ("sqlalchemy", "pymysql")),
}


def check_database(url: str) -> None:
    """Raise :class:`StoreError` if :func:`open_database` would."""
    if not url.startswith(SQLITE):
        open_database(url).close()


def open_database(url: str) -> Database:
    """The database at *url*: ``sqlite:///FILE``, ``postgresql://…`` or ``mysql://…``.

    Nothing is connected to or made yet. Raises :class:`StoreError` if the URL cannot be used, or
    what it needs is not installed.
    """
    if url.startswith(SQLITE):
        return SqliteDatabase(Path(url.removeprefix(SQLITE)))
    scheme = url.partition("://")[0]
    extra, modules = EXTRAS[scheme]
    if any(find_spec(module) is None for module in modules):
        raise StoreError(
            f'a store at {scheme}:// needs the {extra} extra: pip install "herenow[server,{extra}]"'
        )
    # Imported late: SQLAlchemy takes longer to load than a server may take to listen.
    from herenow.store.servers import ServerDatabase

    return ServerDatabase(url)
